"""How much memory a model needs, from what the headers of its files say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmos.features.repos.cards.weights import DTYPE_BITS

# Room for activations and the key-value cache beside the weights.
MEMORY_FACTOR = 1.2
_QUANTIZED = re.compile(r"I?T?Q(\d)")


def memory_bytes(parameters: Mapping[str, int]) -> int:
    """Weights as stored plus a fifth, in bytes; 0 where a dtype is unknown."""
    if not all(dtype in DTYPE_BITS for dtype in parameters):
        return 0
    bits = sum(count * DTYPE_BITS[dtype] for dtype, count in parameters.items())
    return int(bits / 8 * MEMORY_FACTOR)


def inference_bytes(safetensors: Mapping[str, Any] | None, gguf: Mapping[str, Any] | None) -> int:
    """Memory to run the model as stored: of its safetensors, else of its GGUF file; 0 if unknown."""
    parameters = (safetensors or {}).get("parameters") or {}
    if parameters:
        return memory_bytes(parameters)
    total, quantization = (gguf or {}).get("total"), str((gguf or {}).get("quantization") or "")
    bits = _gguf_bits(quantization.upper())
    return int(total * bits / 8 * MEMORY_FACTOR) if total and bits else 0


def _gguf_bits(quantization: str) -> float:
    """`Q4_K_M` -> 4.85: the scales of each block take a little less than one bit more."""
    plain = {"F32": 32.0, "F16": 16.0, "BF16": 16.0}
    match = _QUANTIZED.match(quantization)
    return int(match[1]) + 0.85 if match else plain.get(quantization, 0.0)
