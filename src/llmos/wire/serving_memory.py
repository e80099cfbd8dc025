"""How much memory an engine needs: one estimate for the hub, which places it, and for the engine itself."""

from __future__ import annotations

_MIB = 1024**2
# Python and its libraries, measured; and room to work in beside weights and cache.
_PROCESS_BYTES = {"transformers": 450 * _MIB, "llama.cpp": 120 * _MIB, "vllm": 2048 * _MIB}
_ROOM_BYTES = {"transformers": 450 * _MIB, "llama.cpp": 180 * _MIB, "vllm": 2048 * _MIB}
# The shortest text worth starting for.
LEAST_TOKENS = 256
_LEAST_CACHE_BYTES = 128 * _MIB
# Bytes of a number in memory for a byte on disk, where nothing but the size of the files is known.
_UNPACKED = 4


def weights_bytes(numbers: int, stored_bytes: int, *, number_bytes: int = 4) -> int:
    """Weights in memory, each number as wide as it is computed with: 4 bytes on processors."""
    return numbers * number_bytes if numbers else stored_bytes * _UNPACKED


def token_bytes(*, layers: int, heads: int, head_size: int, number_bytes: int = 4) -> int:
    """Keys and values of one token in all layers. `heads` are those of the keys."""
    return 2 * layers * heads * head_size * number_bytes


def needed_bytes(engine: str, weights: int, token: int = 0) -> int:
    """Without so much an engine does not start: itself, the weights, and a short text."""
    return _of(_PROCESS_BYTES, engine) + weights + LEAST_TOKENS * token


def limit_bytes(engine: str, weights: int) -> int:
    """What an engine may take: what it needs, and room and cache to be of use, half the weights at least."""
    return needed_bytes(engine, weights) + _of(_ROOM_BYTES, engine) + max(weights // 2, _LEAST_CACHE_BYTES)


def _of(table: dict[str, int], engine: str) -> int:
    return table.get(engine, table["transformers"])
