"""Inputs that a runner laid out for this process."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Laid:
    """A repository on this machine; `revision` is the commit it was laid at, where the runner told."""

    path: Path
    revision: str | None


def laid_inputs() -> dict[str, str]:
    """`LLMOS_INPUTS`: {"model:ada/base": "/inputs/0"}, as the runner laid them."""
    value: dict[str, str] = json.loads(os.environ.get("LLMOS_INPUTS") or "{}")
    return value


def laid_revisions() -> dict[str, str]:
    """`LLMOS_INPUT_REVISIONS`: {"model:ada/base": "8f8f…"}, the commits the hub pinned for the job."""
    value: dict[str, str] = json.loads(os.environ.get("LLMOS_INPUT_REVISIONS") or "{}")
    return value


def laid_input(kind: str, name: str) -> Laid | None:
    """The repository `name` of a `kind` (model, dataset), if a runner laid it."""
    path = laid_inputs().get(f"{kind}:{name}")
    return Laid(Path(path), laid_revisions().get(f"{kind}:{name}")) if path else None


def is_laid_out() -> bool:
    """Whether a runner started this process: it fetches the inputs and publishes the outputs itself."""
    return "LLMOS_INPUTS" in os.environ
