"""`/v1/embeddings`: a vector for each text, as numbers or as the base64 of their bytes."""

from __future__ import annotations

import base64
import sys
from array import array
from dataclasses import dataclass
from typing import Any

from llmos.protocols.openai.completions import Prompt, read_prompts
from llmos.protocols.openai.fields import Fields
from llmos.wire.serving import MAX_INPUTS

MAX_TEXTS = 2048
MAX_DIMENSIONS = 1 << 20


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, understood. `calls` hold the inputs in their order, as many each as an engine takes."""

    model: str
    calls: list[dict[str, Any]]
    is_base64: bool


def read_embeddings(data: dict[str, Any], model: str | None = None) -> Asked:
    """A body as calls; `model` is what the address names, which counts more. BadRequest."""
    body = Fields(data)
    name = model or body.needed_text("model", 400)
    inputs: list[Prompt] = read_prompts(body, "input", MAX_TEXTS)
    call: dict[str, Any] = {"call": "embed"}
    dimensions = body.integer("dimensions", 1, MAX_DIMENSIONS)
    if dimensions is not None:
        call["dimensions"] = dimensions
    is_base64 = body.choice("encoding_format", ("float", "base64")) == "base64"
    parts = [inputs[start : start + MAX_INPUTS] for start in range(0, len(inputs), MAX_INPUTS)]
    return Asked(name, [call | {"inputs": part} for part in parts], is_base64)


def embeddings_json(asked: Asked, results: list[dict[str, Any]]) -> dict[str, Any]:
    """The vectors in the order of the inputs."""
    vectors = [vector for result in results for vector in result["embeddings"]]
    read = sum(int(result.get("prompt_tokens") or 0) for result in results)
    return {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": number,
                "embedding": _packed(vector) if asked.is_base64 else vector,
            }
            for number, vector in enumerate(vectors)
        ],
        "model": asked.model,
        "usage": {"prompt_tokens": read, "total_tokens": read},
    }


def _packed(vector: list[float]) -> str:
    """Single precision, little-endian."""
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
