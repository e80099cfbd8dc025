"""Inputs that a runner laid out for this process."""

from __future__ import annotations

import json
import os


def laid_inputs() -> dict[str, str]:
    """`LLMOS_INPUTS`: {"model:ada/base": "/inputs/0"}, as the runner laid them."""
    value: dict[str, str] = json.loads(os.environ.get("LLMOS_INPUTS") or "{}")
    return value


def is_laid_out() -> bool:
    """Whether a runner started this process: it fetches the inputs and publishes the outputs itself."""
    return "LLMOS_INPUTS" in os.environ
