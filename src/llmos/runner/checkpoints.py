"""Publishes checkpoints while the job goes on, on a branch of their own that holds the newest one."""

from __future__ import annotations

import logging
import queue
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from llmos.runner.events import SavedCheckpoint
from llmos.runner.reporter import Reporter, system_line
from llmos.runner.staging import NothingThere, stage
from llmos.runner.transfers import Stopped, TransferFailed, Transfers

log = logging.getLogger("llmos.runner")

FOLDER = "checkpoint"


class CheckpointPublisher:
    """One at a time; of several that wait only the newest is published.

    Needs an output to publish to. A pull request holds no checkpoints: nobody has accepted it yet.
    """

    def __init__(
        self, spec: dict[str, Any], transfers: Transfers, box: Path, folder: Path, reporter: Reporter
    ) -> None:
        self._job_id = str(spec["job_id"])
        self._outputs = [
            output
            for output in spec.get("outputs", ())
            if not output.get("pull_request") and output["type"] != "bucket"
        ]
        self._transfers, self._box, self._folder, self._reporter = transfers, box, folder, reporter
        self._waiting: queue.Queue[SavedCheckpoint | None] = queue.Queue()
        self._thread: threading.Thread | None = None

    def publish(self, saved: list[SavedCheckpoint]) -> None:
        if saved and self._outputs:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
                self._thread.start()
            self._waiting.put(saved[-1])

    def __enter__(self) -> CheckpointPublisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the upload that is on its way."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()

    def _run(self) -> None:
        number = 0
        while (saved := self._newest()) is not None:
            number += 1
            try:
                self._publish(saved, self._folder / "stage" / f"checkpoint-{number}")
            except (TransferFailed, NothingThere, OSError) as error:
                self._reporter.add([system_line(f"The checkpoint of step {saved.step} is not safe: {error}")])
            except Stopped:
                return

    def _newest(self) -> SavedCheckpoint | None:
        saved = self._waiting.get()
        while saved is not None and not self._waiting.empty():
            after = self._waiting.get()
            if after is None:
                self._waiting.put(None)
                break
            saved = after
        return saved

    def _publish(self, saved: SavedCheckpoint, staged: Path) -> None:
        output = next(
            (o for o in self._outputs if saved.path.startswith(o["path"].rstrip("/") + "/")), self._outputs[0]
        )
        stage(self._box / "job", saved.path, staged)
        branch = f"checkpoints-{self._job_id}"
        revision = self._transfers.publish(
            staged, {**output, "branch": branch}, message=f"Step {saved.step}", path_in_repo=FOLDER
        )
        point = {
            "repo": output["repo"], "type": output["type"], "revision": revision, "path": FOLDER,
            "step": saved.step,
        }  # fmt: skip
        self._reporter.add([{"kind": "checkpoint", "point": point}])
