"""Which refusals are told in OpenAI's shape: by the address."""

from __future__ import annotations

import re

_OPENAI = re.compile(r"/v1/(?!telemetry\Z)|/(?:hf-inference/)?models/[^/]+/[^/]+/v1/")
_INFERENCE = re.compile(r"/(?:hf-inference/)?models/[^/]+/[^/]+(?:/pipeline/[^/]+|/info|/health)?\Z")


def inference_face(path: str) -> str | None:
    """`openai`, `inference`, or None for an address of neither."""
    if _OPENAI.match(path):
        return "openai"
    return "inference" if _INFERENCE.match(path) else None
