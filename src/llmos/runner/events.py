"""What a job tells by itself: one JSON object a line, written to the file descriptor LLMOS_EVENTS.

The kinds are those of `wire.jobs.JobEvent`, as `{"kind": "metric", "step": 10, "name": "loss",
"value": 2.5}`. A checkpoint is told by its folder below /job, `{"kind": "checkpoint", "path":
"output/checkpoint-100", "step": 100}`: the runner publishes it. Log lines are passed over, as what is
printed is the log; anything else is left out, and the log says so once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from llmos.wire.jobs import MetricPoint, Phase, Progress

_MAX_REST_BYTES = 1024 * 1024
_TOLD: TypeAdapter[Any] = TypeAdapter(MetricPoint | Progress | Phase)


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """A folder of the job, relative to /job, with everything to go on from."""

    path: str
    step: int


class EventReader:
    """Feed bytes in, take checked events out; `bad` counts what was left out."""

    def __init__(self) -> None:
        self._rest = b""
        self.bad = 0

    def feed(self, data: bytes) -> tuple[list[dict[str, Any]], list[SavedCheckpoint]]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MAX_REST_BYTES:
            self._rest, self.bad = b"", self.bad + 1
        events: list[dict[str, Any]] = []
        checkpoints: list[SavedCheckpoint] = []
        for line in filter(None, lines):
            try:
                found = json.loads(line)
                if isinstance(found, dict) and found.get("kind") == "checkpoint":
                    checkpoints.append(_checkpoint(found))
                elif isinstance(found, dict) and found.get("kind") == "log":
                    continue  # what a job prints is its log already
                else:
                    checked = _TOLD.validate_python(found, strict=False)
                    events.append(checked.model_dump(mode="json"))
            except (ValueError, KeyError, TypeError, ValidationError, RecursionError):
                self.bad += 1
        return events, checkpoints


def _checkpoint(found: dict[str, Any]) -> SavedCheckpoint:
    path, step = str(found["path"]), int(found.get("step", 0))
    parts = path.removeprefix("/job/").split("/")
    if path.startswith("/job/"):
        path = path.removeprefix("/job/")
    if path.startswith("/") or ".." in parts or not path or step < 0:
        raise ValueError("a checkpoint lies below /job")
    return SavedCheckpoint(path, step)
