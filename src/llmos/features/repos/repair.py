"""Find and mend what a crash, a full disk or a careless hand left behind (`llmos doctor --repair`)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from llmos.core import clock
from llmos.features.repos.indexing import head_commit, reindex_repo
from llmos.features.repos.models import DeletedRepo, Repo, RepoLfsClaim
from llmos.features.repos.places import git_path
from llmos.features.storage.models import LfsObject
from llmos.features.storage.objects import object_key
from llmos.infra.git.errors import RepositoryMissing
from llmos.infra.git.maintenance import remove_stale_locks
from llmos.infra.runtime import Runtime

# A folder younger than this may belong to a creation that is still under way.
SETTLED_AFTER_S = 3600.0


@dataclass(frozen=True, slots=True)
class Problem:
    """`mended` tells whether this run repaired it; `advice` is for what only a person can mend."""

    kind: str
    subject: str
    detail: str
    mended: bool
    advice: str = ""


def find_problems(rt: Runtime, *, repair: bool) -> Iterator[Problem]:
    """Every inconsistency between rows, git folders and objects; with `repair`, mend what is safe.

    Nothing is deleted: git folders nobody owns move to `$LLMOS_HOME/lost+found`.
    """
    yield from _orphan_folders(rt, repair)
    yield from _repositories(rt, repair)
    yield from _missing_objects(rt, repair)
    yield from _broken_claims(rt)


def _orphan_folders(rt: Runtime, repair: bool) -> Iterator[Problem]:
    with rt.database.reading() as db:
        known = set(db.scalars(select(Repo.object_id))) | set(db.scalars(select(DeletedRepo.object_id)))
    for folder in sorted(rt.git_root.glob("??/*.git")):
        if folder.name.removesuffix(".git") in known:
            continue
        if time.time() - folder.stat().st_mtime < SETTLED_AFTER_S:
            continue
        if repair:
            _set_aside(rt, folder)
        yield Problem("orphan folder", folder.name, "a git folder without a repository", repair)


def _set_aside(rt: Runtime, folder: Path) -> None:
    target = rt.settings.home / "lost+found" / f"{int(time.time())}-{folder.name}"
    target.parent.mkdir(exist_ok=True, mode=0o700)
    folder.rename(target)


def _repositories(rt: Runtime, repair: bool) -> Iterator[Problem]:
    with rt.database.reading() as db:
        repos = db.scalars(select(Repo)).unique().all()
    for repo in repos:
        try:
            head = head_commit(rt, repo)
        except RepositoryMissing:
            yield Problem(
                "missing folder",
                repo.repo_name,
                f"its git folder {git_path(rt, repo)} is gone",
                False,
                "Copy the folder back from a backup, or delete the repository.",
            )
            continue
        if repair:
            for lock in remove_stale_locks(git_path(rt, repo)):
                yield Problem("stale lock", repo.repo_name, lock, True)
        if head != repo.head_oid:
            if repair:
                reindex_repo(rt, repo.id)
            yield Problem("stale index", repo.repo_name, f"indexed {repo.head_oid}, git has {head}", repair)


def _missing_objects(rt: Runtime, repair: bool) -> Iterator[Problem]:
    with rt.database.reading() as db:
        rows = db.scalars(select(LfsObject).where(LfsObject.quarantined_at.is_(None))).all()
    for row in rows:
        size_bytes = rt.objects.head(object_key(row.oid))
        if size_bytes == row.size_bytes:
            continue
        if repair:
            with rt.database.writing() as db:
                found = db.get(LfsObject, row.oid)
                if found is not None:
                    found.quarantined_at = clock.now()
        detail = "its bytes are gone" if size_bytes is None else f"{size_bytes} of {row.size_bytes} bytes"
        yield Problem(
            "lost object", row.oid, detail, repair, "Upload the file again, or restore objects from a backup."
        )


def _broken_claims(rt: Runtime) -> Iterator[Problem]:
    statement = (
        select(Repo, RepoLfsClaim.oid)
        .join(RepoLfsClaim, RepoLfsClaim.repo_id == Repo.id)
        .outerjoin(LfsObject, LfsObject.oid == RepoLfsClaim.oid)
        .where(LfsObject.oid.is_(None), RepoLfsClaim.xet_hash.is_(None))
    )
    with rt.database.reading() as db:
        rows = db.execute(statement).unique().all()
    for repo, oid in rows:
        yield Problem(
            "broken claim", repo.repo_name, f"{oid} is not in the store", False, "Upload the file again."
        )
