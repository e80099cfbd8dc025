"""Commits while a run goes on: checkpoints to a branch of their own, the result to main.

Only what loads without running anyone's code is published: no pickles, whatever their name ends in.
"""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from llmos.core.errors import LlmosError

if TYPE_CHECKING:
    from llmos.client.hub import Hub

log = logging.getLogger(__name__)

# Before a run a person waits; a hub that goes away during it is waited for as long as `Hub` does.
PATIENCE_S = 20.0

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz")
_HIDDEN = re.compile(r"^(\.|checkpoint-|__pycache__$)|\.part")
# The first bytes of a pickle (protocol 2 and later) and of the zip archives torch.save writes.
_MAGIC = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")


def published_files(folder: Path) -> dict[str, Path]:
    """Path in the repository: file, for all of `folder` that may be published, sorted.

    Left out are checkpoints, hidden and half-written files, links that lead out of the folder, and
    pickles by name or by content.
    """
    found = {}
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if not path.is_file() or any(_HIDDEN.search(part) for part in parts):
            continue
        if not path.resolve().is_relative_to(root) or is_pickle(path):
            continue
        found["/".join(parts)] = path
    return found


def is_pickle(path: Path) -> bool:
    """Whether loading the file could run code, by its name or its first bytes."""
    if path.suffix.lower() in _PICKLES:
        return True
    with path.open("rb") as file:
        return file.read(4).startswith(_MAGIC)


def check_push(hub: Hub, repo: str, *, private: bool = True) -> None:
    """Make the repository before anything is computed: a wrong address, token or name is told at once."""
    hub.create_repo(repo, private=private)


def push_result(
    hub: Hub, repo: str, folder: Path, message: str, *, private: bool = True, branch: str = "main"
) -> str:
    """Commit all that `published_files` finds; the commit id. Creates repository and branch if needed."""
    hub.create_repo(repo, private=private)
    if branch != "main":
        hub.create_branch(repo, branch)
    return hub.commit(repo, dict(published_files(folder)), message, branch=branch)


class CheckpointPusher:
    """Commits checkpoints in a thread of its own, so that training never waits for the network.

    The branch holds the newest checkpoint, earlier ones are its history. While a commit is under way
    only the newest of those to come is kept. A hub that is away is waited for as long as `Hub` does;
    what cannot be pushed is logged and told by `failures`, and the run goes on.
    """

    def __init__(self, hub: Hub, repo: str, *, branch: str = "checkpoints", private: bool = True) -> None:
        self._hub, self._repo, self._branch, self._private = hub, repo, branch, private
        self._next: tuple[Path, int] | None = None
        self._wake = threading.Condition()
        self._closing = self._made = False
        self.pushed: list[tuple[int, str]] = []
        self.failures: list[str] = []
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._thread.start()

    def push(self, folder: Path, step: int) -> None:
        """Publish the checkpoint in `folder` soon; it must stay as it is until then or be whole again."""
        with self._wake:
            self._next = (folder, step)
            self._wake.notify()

    def close(self) -> None:
        """Wait until the newest checkpoint is pushed or given up."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def __enter__(self) -> CheckpointPusher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._next is not None or self._closing)
                if self._next is None:
                    return
                (folder, step), self._next = self._next, None
            try:
                self.pushed.append((step, self._commit(folder, step)))
            except (LlmosError, OSError, ValueError) as error:
                log.warning("The checkpoint of step %d was not pushed: %s", step, error)
                self.failures.append(f"step {step}: {error}")

    def _commit(self, folder: Path, step: int) -> str:
        if not self._made:
            self._hub.create_repo(self._repo, private=self._private)
            self._hub.create_branch(self._repo, self._branch)
            self._made = True
        return self._hub.commit(
            self._repo, dict(published_files(folder)), f"Checkpoint of step {step}", branch=self._branch
        )
