"""How much memory a model needs, before a byte of it is loaded, and how many texts fit beside it."""

from __future__ import annotations

import json
import resource
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from llmos.lab.serve.errors import CannotServe
from llmos.lab.serve.gguf import gguf_numbers
from llmos.wire.serving import EngineSpec
from llmos.wire.serving_memory import LEAST_TOKENS, needed_bytes, token_bytes, weights_bytes

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}
_STORED = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_MOST_HEADER = 100 << 20
_PAGE = 64


@dataclass(frozen=True)
class Sizes:
    """Tokens the cache holds, texts at once, tokens of prompts in one forward, tokens of one text."""

    cells: int
    streams: int
    batch_tokens: int
    context: int


def parameters_in(folder: Path, file: str | None = None) -> tuple[int, int]:
    """Numbers in the weights and the bytes they are stored in, from the headers of the files.

    `file` is a GGUF file to be read in place of those. Raises CannotServe for a file that is not what its
    name says.
    """
    if file is not None:
        return gguf_numbers(folder / file), (folder / file).stat().st_size
    numbers = stored = 0
    for path in sorted(folder.glob("*.safetensors")):
        for name, entry in _header(path).items():
            if name != "__metadata__":
                count = prod(entry["shape"])
                numbers += count
                stored += count * _STORED.get(entry["dtype"], 1)
    return numbers, stored


def allowed_bytes() -> int:
    """What this process may hold: free memory, or less where a limit is set."""
    limits = [_available()]
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft = resource.getrlimit(kind)[0]
        if soft != resource.RLIM_INFINITY:
            limits.append(soft)
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(name).strip()
        if text.isdigit():
            limits.append(int(text))
    return min(limits)


def cell_bytes(config: Any, dtype: str) -> int:
    """Keys and values of one token in all layers."""
    text = config.get_text_config()
    heads = getattr(text, "num_attention_heads", 1) or 1
    shared = getattr(text, "num_key_value_heads", None) or heads
    size = getattr(text, "head_dim", None) or getattr(text, "hidden_size", 1) // heads
    layers = getattr(text, "num_hidden_layers", 1)
    return token_bytes(layers=layers, heads=shared, head_size=size, number_bytes=_BYTES.get(dtype, 4))


def check_memory(folder: Path, config: Any, dtype: str, device: str, *, file: str | None = None) -> int:
    """Bytes of the model once it is loaded. Raises CannotServe `out_of_memory` naming both numbers."""
    weights = weights_bytes(*parameters_in(folder, file), number_bytes=_BYTES.get(dtype, 4))
    if device != "cpu":
        return weights
    check_needed("transformers", weights, cell_bytes(config, dtype), f"weights in {dtype}")
    return weights


def check_needed(engine: str, weights: int, cell: int, what: str) -> None:
    """Raises CannotServe `out_of_memory` naming both numbers."""
    needed = needed_bytes(engine, weights, cell)
    allowed = allowed_bytes()
    if needed > allowed:
        raise CannotServe(
            f"This model needs about {_human(needed)} ({_human(weights)} of {what}), and the "
            f"engine may have {_human(allowed)}. Serve a smaller one, or on a machine with more memory.",
            code="out_of_memory",
            status=507,
            data={"needed_bytes": needed, "allowed_bytes": allowed},
        )


def choose_sizes(spec: EngineSpec, *, cell: int, weights: int, longest: int, free: int) -> Sizes:
    """What the spec leaves open, from the model's size and `free` bytes beside it. Half of them are used.

    `cell` are the bytes of a token in the cache.
    """
    per_cell = max(cell, 1)
    page = spec.page_size or _PAGE
    most = max(free // 2 // per_cell, LEAST_TOKENS)
    context = min(longest, most)
    wanted = spec.max_streams or (64 if weights < 200 << 20 else 32)
    # Few texts are as long as the context; 2048 each is plenty where memory is scarce.
    cells = spec.num_blocks * page or min(most, wanted * min(context, 2048))
    cells = max(cells, context + 1)
    streams = spec.max_streams or max(1, min(wanted, cells // 128))
    return Sizes(cells, streams, spec.max_batch_tokens or 512, context)


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        head = file.read(8)
        size = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 2 <= size <= _MOST_HEADER:
            raise CannotServe(f"{path.name} is no safetensors file.", code="bad_weights")
        try:
            found = json.loads(file.read(size))
        except ValueError as error:
            raise CannotServe(f"{path.name} is no safetensors file.", code="bad_weights") from error
    if not isinstance(found, dict):
        raise CannotServe(f"{path.name} is no safetensors file.", code="bad_weights")
    return found


def _available() -> int:
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 1 << 40


def _read(name: str) -> str:
    try:
        return Path(name).read_text(encoding="ascii")
    except OSError:
        return ""


def _human(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.0f} MiB"
