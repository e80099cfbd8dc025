"""Checkpoints that are whole or not there."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

# Written last: a folder without it was cut short.
MARKER = "lab_state.json"
_NAME = re.compile(r"^checkpoint-(\d+)$")


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the most steps in `folder` that was written to its end, or None."""
    found = [
        (int(match[1]), path)
        for path in (folder.iterdir() if folder.is_dir() else ())
        if (match := _NAME.match(path.name)) and (path / MARKER).is_file()
    ]
    return max(found)[1] if found else None


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Make a checkpoint whole, and its files durable."""
    for path in sorted(folder.iterdir()):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
    part = folder / f"{MARKER}.part"
    with part.open("w", encoding="utf-8") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.rename(folder / MARKER)


def read_state(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    return value
