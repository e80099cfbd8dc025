"""What a run must remember, as safetensors and JSON: reading it back can run nothing.

The states of optimisers, schedules and random generators are trees of tensors, numbers and words.
Tensors become those of one safetensors file; the tree around them is JSON in its metadata. Numbers come
back as they were, to the last bit.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save, save_file
from torch import Tensor

_TREE = "tree"


def save_tree(path: Path, value: Any) -> None:
    """Write a tree of dicts, lists, tuples, tensors, arrays and plain values.

    Raises TypeError for anything else, OSError or SafetensorError when it cannot be written.
    """
    tensors, metadata = _parts(value)
    save_file(tensors, str(path), metadata)


def tree_bytes(value: Any) -> bytes:
    """The file of `save_tree` as bytes."""
    return save(*_parts(value))


def load_tree(path: Path) -> Any:
    """What `save_tree` wrote. Raises OSError, ValueError, SafetensorError."""
    with safe_open(str(path), "pt") as file:
        tree = (file.metadata() or {}).get(_TREE)
        if tree is None:
            raise ValueError(f"{path.name} holds no state of a run")
        return _unpack(json.loads(tree), file)


def _parts(value: Any) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a tree, and the metadata that hold the rest."""
    tensors: dict[str, Tensor] = {}
    return tensors, {_TREE: json.dumps(_pack(value, tensors))}


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().contiguous()
        return {"tensor": name}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, dict):
        # As pairs: the keys of an optimiser's state are numbers, which JSON would make words of.
        return {"map": [[key, _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_pack(item, tensors) for item in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a state cannot hold a {type(value).__name__}")


def _unpack(value: Any, file: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kind = next(iter(value), "")
    if kind == "tensor":
        return file.get_tensor(value["tensor"])
    if kind == "array":
        return np.array(value["array"], dtype=value["dtype"])
    if kind == "map":
        return {key: _unpack(item, file) for key, item in value["map"]}
    if kind in ("tuple", "list"):
        items = [_unpack(item, file) for item in value[kind]]
        return tuple(items) if kind == "tuple" else items
    raise ValueError("this is no state of a run")


def random_state() -> dict[str, Any]:
    """Where the random generators of this process stand: Python's, numpy's, torch's, one a GPU."""
    state = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.random.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.random.get_rng_state_all()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Set them to where they stood. GPUs are only set where as many are here as there were."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.random.set_rng_state(state["torch"])
    cuda = state.get("cuda", [])
    if cuda and torch.cuda.is_available() and len(cuda) == torch.cuda.device_count():
        torch.cuda.random.set_rng_state_all(cuda)
