"""What the workers of a Ray cluster do, and how their files travel."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from llmos.core.errors import LlmosError
from llmos.lab.events import Reporter

_PID = "pid"
_PIECE_BYTES = 8 * 1024 * 1024

# Path in the folder -> its pieces in Ray's object store.
Laid = dict[str, list[Any]]


def lay_out(folder: Path) -> Laid:
    """Put the files of a folder where workers on any machine find them."""
    import ray

    found: Laid = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found[path.relative_to(folder).as_posix()] = [ray.put(piece) for piece in _pieces(path)]
    return found


def pick_up(laid: Laid, folder: Path) -> Path:
    import ray

    for name, pieces in laid.items():
        target = _inside(folder, name)
        with target.open("wb") as file:
            for piece in pieces:
                file.write(ray.get(piece))
    return folder


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _inside(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts:
        raise ValueError(f"{name} leads out of its folder")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def sweep(folder: Path) -> None:
    """Remove what workers left that were killed: folders of which no process is there any more."""
    for run in folder.glob("llmos-ray-*"):
        with contextlib.suppress(OSError, ValueError):
            pids = [int(path.read_text()) for path in run.glob(f"worker-*/{_PID}")]
            if pids and not any(Path(f"/proc/{pid}").exists() for pid in pids):
                shutil.rmtree(run, ignore_errors=True)


def train_here(work: dict[str, Any]) -> None:
    """One worker: lay the inputs, train as one of several, send what the first one makes."""
    import ray.train

    place = ray.train.get_context()
    os.environ.update({k: v for k, v in work["environment"].items() if k not in os.environ})
    shared = Path(tempfile.gettempdir()) / f"llmos-ray-{work['run']}"
    own = shared / f"worker-{place.get_world_rank()}"
    sweep(shared.parent)
    own.mkdir(parents=True, mode=0o700)
    (own / _PID).write_text(str(os.getpid()))
    # A worker's program lives on: what this run says to it must not reach the next one.
    before = dict(os.environ)
    try:
        inputs = {name: pick_up(laid, own / "inputs" / name) for name, laid in work["inputs"].items()}
        os.environ["LLMOS_INPUTS"] = json.dumps({name: str(path) for name, path in inputs.items()})
        os.environ["LLMOS_INPUT_REVISIONS"] = json.dumps(work["revisions"])
        os.environ["LLMOS_LAB_CACHE"] = str(shared / "cache")
        resume = pick_up(work["resume"], own / "checkpoint") if work["resume"] else None
        _train(work, own, resume, is_first=place.get_world_rank() == 0)
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(own, ignore_errors=True)
        if place.get_local_rank() == 0:
            shutil.rmtree(shared, ignore_errors=True)


def _train(work: dict[str, Any], own: Path, resume: Path | None, *, is_first: bool) -> None:
    from llmos.lab.recipes.load import parse_recipe
    from llmos.lab.train.run import train

    queue, output = work["queue"], own / "output"
    with _Sending(queue) if is_first else Reporter(quiet=True) as reporter:
        try:
            train(parse_recipe(work["recipe"]), output, reporter, root=own, resume=resume)
        except LlmosError as error:
            queue.put(("refused", {"code": error.code, "message": error.message}))
            raise RuntimeError(error.message) from None
    if is_first:
        _send(queue, output, "", leave_out="checkpoint-")
        queue.put(("done", None))


def _send(queue: Any, folder: Path, below: str, *, leave_out: str = "") -> None:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if leave_out and name.startswith(leave_out):
            continue
        queue.put(("file", below + name))
        for piece in _pieces(path):
            queue.put(("piece", piece))


class _Lines:
    """Stands for the file of events."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def write(self, text: str) -> int:
        self._queue.put(("event", text))
        return len(text)

    def flush(self) -> None: ...

    def close(self) -> None: ...


class _Sending(Reporter):
    """Tells the steering process everything; checkpoints travel whole before they are told."""

    def __init__(self, queue: Any) -> None:
        super().__init__(quiet=True)
        lines: Any = _Lines(queue)
        self._file, self._queue = lines, queue

    def checkpoint(self, folder: Path, step: int) -> None:
        _send(self._queue, folder, f"{folder.name}/")
        self._queue.put(("checkpoint", {"folder": folder.name, "step": step}))


class Post:
    """What arrives from the first worker, written down where the run was started."""

    def __init__(self, queue: Any, output: Path, reporter: Reporter) -> None:
        self._queue, self._output, self._reporter = queue, output, reporter
        self._file: IO[bytes] | None = None
        self._newest: Path | None = None
        self.is_done = False
        self.refusal: dict[str, Any] | None = None

    def take(self, *, wait_s: float) -> bool:
        """Deal with all that is there; False when nothing came within `wait_s`."""
        from ray.exceptions import RayError
        from ray.util.queue import Empty

        try:
            kind, content = self._queue.get(block=wait_s > 0, timeout=wait_s or None)
        except (Empty, RayError):
            return False
        if kind != "piece":
            self._close()
        getattr(self, f"_take_{kind}")(content)
        return True

    def _take_event(self, line: str) -> None:
        event = json.loads(line)
        self._reporter.pass_on(line)
        if event["kind"] in ("log", "phase"):
            print(event.get("text") or f"== {event['phase']}", flush=True)

    def _take_file(self, name: str) -> None:
        path = _inside(self._output, name)
        self._file = path.open("wb")

    def _take_piece(self, piece: bytes) -> None:
        if self._file is not None:
            self._file.write(piece)

    def _take_checkpoint(self, told: dict[str, Any]) -> None:
        folder = self._output / PurePosixPath(told["folder"]).name
        self._reporter.checkpoint(folder, int(told["step"]))
        # One before the newest stays: it may be on its way to the hub.
        for old in sorted(self._output.glob("checkpoint-*")):
            if old not in (folder, self._newest):
                shutil.rmtree(old, ignore_errors=True)
        self._newest = folder

    def _take_refused(self, told: dict[str, Any]) -> None:
        self.refusal = self.refusal or told

    def _take_done(self, _: None) -> None:
        self.is_done = True

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
