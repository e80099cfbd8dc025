"""Upkeep of whole repositories: repack, check, measure, squash, copy."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pygit2

from llmos.infra.git.errors import RepositoryExists
from llmos.infra.git.identity import Identity
from llmos.infra.git.objects import ObjectWriter
from llmos.infra.git.process import run_git
from llmos.infra.git.repository import (
    default_branch,
    forget_repo,
    fsync_folder,
    init_bare,
    open_repo,
)
from llmos.infra.git.trees import tree_of
from llmos.infra.git.writer import create_commit

# Younger unreachable objects may belong to a write whose ref has not moved yet.
PRUNE_AFTER = "2.weeks.ago"
_LONG_TIMEOUT_S = 3600.0
ALL_REFS = ("refs/heads/*", "refs/tags/*", "refs/convert/*", "refs/pr/*")


@dataclass(frozen=True, slots=True)
class ObjectCount:
    """Objects on disk; sizes in bytes, rounded up to KiB as git reports them."""

    loose_count: int
    loose_bytes: int
    packed_count: int
    pack_count: int
    pack_bytes: int
    garbage_count: int
    garbage_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.loose_bytes + self.pack_bytes + self.garbage_bytes


def repack(path: Path, *, prune_after: str = PRUNE_AFTER, timeout_s: float = _LONG_TIMEOUT_S) -> None:
    """Gather loose objects, packs and refs, and drop unreachable objects older than
    `prune_after`. Safe beside readers and writers; open handles keep working."""
    run_git(path, "gc", "--quiet", f"--prune={prune_after}", timeout_s=timeout_s)
    fsync_folder(path / "objects" / "pack")


def fsck(path: Path, *, timeout_s: float = _LONG_TIMEOUT_S) -> list[str]:
    """Everything `git fsck --strict` finds wrong; an empty list is a sound repository."""
    options = ["--full", "--strict", "--no-dangling", "--no-progress"]
    done = run_git(path, "fsck", *options, timeout_s=timeout_s, accept=range(128))
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    # A repository without commits has nothing to check, and git says so.
    return [line for line in lines if line and not line.startswith("notice:")]


def count_objects(path: Path) -> ObjectCount:
    """How many objects lie on disk and how large they are."""
    printed = run_git(path, "count-objects", "-v").stdout.decode()
    facts = dict(line.split(": ", 1) for line in printed.splitlines() if ": " in line)
    return ObjectCount(
        loose_count=int(facts["count"]),
        loose_bytes=int(facts["size"]) * 1024,
        packed_count=int(facts["in-pack"]),
        pack_count=int(facts["packs"]),
        pack_bytes=int(facts["size-pack"]) * 1024,
        garbage_count=int(facts["garbage"]),
        garbage_bytes=int(facts["size-garbage"]) * 1024,
    )


def squash(git_repo: pygit2.Repository, commit: str, message: str, by: Identity) -> str:
    """Write a commit without parents that holds the tree of `commit`; durable, no ref moves."""
    with ObjectWriter(git_repo) as writer:
        oid = create_commit(writer, tree_of(git_repo, commit), [], author=by, committer=by, message=message)
        writer.flush()
    return oid


def duplicate(source: Path, target: Path, *, refs: Sequence[str] = ALL_REFS) -> None:
    """Copy a repository to `target`, complete or not at all, sharing no file with `source`.

    Copies the refs that match the patterns `refs` with all they reach, and the default branch.
    Raises RepositoryExists if something already lies at `target`.
    """
    if target.exists():
        raise RepositoryExists(f"A repository already exists at {target.name}.")
    building = target.with_name(f".{target.name}.{secrets.token_hex(8)}.copy")
    try:
        init_bare(building, default_branch(open_repo(source)))
        specs = [f"+{ref}:{ref}" for ref in refs]
        options = ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"]
        run_git(building, "fetch", *options, str(source), *specs, timeout_s=_LONG_TIMEOUT_S)
        fsync_folder(building / "objects" / "pack")
        try:
            building.rename(target)
        except OSError as error:
            raise RepositoryExists(f"A repository already exists at {target.name}.") from error
        fsync_folder(target.parent)
    finally:
        forget_repo(building)
        shutil.rmtree(building, ignore_errors=True)


def remove_stale_locks(path: Path, *, older_than_s: float = 3600.0) -> list[str]:
    """Remove lock files that a killed process left on refs, HEAD, packed refs or the
    configuration, and return their names; younger ones are taken to be in use."""
    limit = time.time() - older_than_s
    candidates = [path / name for name in ("HEAD.lock", "packed-refs.lock", "config.lock")]
    candidates += (path / "refs").rglob("*.lock")
    removed = []
    for lock in candidates:
        if lock.is_file() and lock.stat().st_mtime < limit:
            lock.unlink(missing_ok=True)
            removed.append(str(lock.relative_to(path)))
    return removed
