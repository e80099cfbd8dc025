from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pygit2
import pytest

from llmos.infra.git.identity import Identity
from llmos.infra.git.objects import ObjectWriter
from llmos.infra.git.process import git_environment
from llmos.infra.git.refs import ANY, update_ref
from llmos.infra.git.repository import init_bare, open_repo
from llmos.infra.git.revisions import read_ref
from llmos.infra.git.trees import tree_of
from llmos.infra.git.writer import AddBlob, DeleteFile, apply_changes, create_commit

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def repo_path(tmp_path: Path) -> Path:
    path = tmp_path / "tiny-llm.git"
    init_bare(path)
    return path


@pytest.fixture
def git_repo(repo_path: Path) -> pygit2.Repository:
    return open_repo(repo_path)


@pytest.fixture
def git(repo_path: Path) -> Callable[..., str]:
    """The real git program on the repository, as the oracle."""

    def run(*args: str, input_bytes: bytes | None = None) -> str:
        done = subprocess.run(
            ["git", f"--git-dir={repo_path}", *args],
            input=input_bytes,
            capture_output=True,
            check=True,
            env=git_environment() | {"HOME": "/nonexistent"},
        )
        return done.stdout.decode("utf-8", "surrogateescape")

    return run


@pytest.fixture
def ada() -> Identity:
    return Identity("Ada Lovelace", "ada@example.org", START)


class Committer:
    """Makes one commit per call, each a minute after the one before."""

    def __init__(self, git_repo: pygit2.Repository) -> None:
        self._git_repo = git_repo
        self._minutes = 0

    def __call__(
        self,
        files: Mapping[str, bytes] = {},
        *,
        delete: Iterable[str] = (),
        branch: str = "main",
        parents: list[str] | None = None,
        message: str = "Change files",
    ) -> str:
        ref = f"refs/heads/{branch}"
        if parents is None:
            head = read_ref(self._git_repo, ref)
            parents = [head] if head else []
        self._minutes += 1
        who = Identity("Ada Lovelace", "ada@example.org", START + timedelta(minutes=self._minutes))
        with ObjectWriter(self._git_repo) as writer:
            base = tree_of(self._git_repo, parents[0]) if parents else None
            changes = [DeleteFile(path) for path in delete]
            adds = [AddBlob(path, writer.write_blob(data)) for path, data in files.items()]
            tree = apply_changes(writer, base, [*changes, *adds])
            oid = create_commit(writer, tree, parents, author=who, committer=who, message=message)
            writer.flush()
        update_ref(self._git_repo, ref, oid, ANY)
        return oid


@pytest.fixture
def commit(git_repo: pygit2.Repository) -> Committer:
    return Committer(git_repo)
