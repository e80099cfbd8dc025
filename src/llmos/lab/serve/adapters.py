"""LoRA adapters: worked into the model they change while it is loaded, by their numbers alone.

Of adapter_config.json only what the sum needs is read (PEFT's format: rank, alpha, patterns, DoRA, rsLoRA).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llmos.lab.serve.errors import CannotServe

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_PARTS = {
    ".lora_A.weight": "a", ".lora_B.weight": "b",
    ".lora_embedding_A": "ea", ".lora_embedding_B": "eb",
    ".lora_magnitude_vector": "magnitude", ".lora_magnitude_vector.weight": "magnitude",
    ".lora_B.bias": "bias",
}  # fmt: skip


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds changes to a model, and no model."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


@torch.no_grad()
def apply_adapter(model: Any, folder: Path) -> None:
    """Change the model's weights by the adapter in `folder`. Raises CannotServe where it does not fit."""
    config, tensors = _read(folder)
    changes: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        place = name.removeprefix(_PREFIX)
        end = next((end for end in _PARTS if place.endswith(end)), None)
        if end is None:
            _replace(model, place, tensor)
        else:
            changes.setdefault(place.removesuffix(end), {})[_PARTS[end]] = tensor
    for place, parts in changes.items():
        _change(_module(model, place), place, parts, _scale(config, place, parts), config)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not (folder / WEIGHTS).is_file():
        raise CannotServe(f"The adapter has no {WEIGHTS}.", code="no_weights")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except (ValueError, OSError, SafetensorError) as error:
        raise CannotServe(f"The adapter cannot be read: {error}", code="bad_weights") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise CannotServe("Only adapters of the kind LORA are served.", code="unknown_adapter")
    return config, tensors


def _module(model: Any, place: str) -> Any:
    try:
        return model.get_submodule(place)
    except AttributeError as error:
        raise _unfit(place, "which the base does not have") from error


def _unfit(place: str, why: str) -> CannotServe:
    return CannotServe(f"The adapter changes {place}, {why}: it belongs to another base.", code="bad_adapter")


def _replace(model: Any, place: str, tensor: Tensor) -> None:
    """A weight that was trained whole (modules_to_save, biases)."""
    try:
        parameter = model.get_parameter(place.replace(".base_layer.", "."))
    except AttributeError as error:
        raise _unfit(place, "which the base does not have") from error
    if parameter.shape != tensor.shape:
        raise _unfit(place, f"as {list(tensor.shape)}, and the base has {list(parameter.shape)}")
    parameter.copy_(tensor)


def _scale(config: Mapping[str, Any], place: str, parts: Mapping[str, Tensor]) -> float:
    first = parts.get("a", parts.get("ea"))
    if first is None or ("b" not in parts and "eb" not in parts):
        raise _unfit(place, "with half of its matrices missing")
    rank = first.shape[0]
    alpha = config.get("lora_alpha", rank)
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", place):
            alpha = value
            break
    return float(alpha) / (rank**0.5 if config.get("use_rslora") else rank)


def _change(
    module: Any, place: str, parts: dict[str, Tensor], scale: float, config: Mapping[str, Any]
) -> None:
    weight = module.weight
    if "ea" in parts:
        change = (parts["eb"].float() @ parts["ea"].float()).T * scale
    else:
        a, b = parts["a"].float(), parts["b"].float()
        if a.dim() != 2 or b.dim() != 2 or a.shape[0] != b.shape[1]:
            raise _unfit(place, "by other means than matrices")
        change = b @ a * scale
        # GPT-2 keeps its weights the other way round.
        change = change.T if config.get("fan_in_fan_out") or type(module).__name__ == "Conv1D" else change
    if change.shape != weight.shape:
        raise _unfit(place, f"as {list(change.shape)}, and the base has {list(weight.shape)}")
    sum_ = weight.float() + change.to(weight.device)
    if "magnitude" in parts:
        across = 0 if change.shape[0] != parts["magnitude"].numel() else 1
        norm = sum_.norm(dim=across, keepdim=True)
        sum_ = sum_ / norm * parts["magnitude"].float().to(weight.device).view_as(norm)
    weight.copy_(sum_)
    if "bias" in parts:
        if getattr(module, "bias", None) is None:
            raise _unfit(place, "with a bias, which the base does not have")
        module.bias.add_(parts["bias"].to(weight.device) * scale)
