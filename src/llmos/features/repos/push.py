"""After a ref has moved, however it moved: rows, news, and the index of the default branch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import pygit2
from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import RepoNotFound
from llmos.features.accounts.actor import Actor
from llmos.features.repos.head_facts import read_head_facts
from llmos.features.repos.indexing import head_commit, reindex_repo, store_facts
from llmos.features.repos.models import PullRef, Repo
from llmos.features.repos.places import git_path
from llmos.features.repos.policy import lock_repo
from llmos.infra.git import refs as git_refs
from llmos.infra.git.errors import RefConflict, RepositoryMissing
from llmos.infra.git.refs import update_ref, update_refs
from llmos.infra.git.repository import default_branch, open_repo
from llmos.infra.git.revisions import BRANCH_PREFIX, PULL_PREFIX, read_ref
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit
from llmos.infra.runtime import Runtime

log = logging.getLogger(__name__)

REPO_PUSHED = "RepoPushed"
PULL_OPENED = "PullRequestOpened"


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """One move of a ref; None where it did not, or does no longer, exist."""

    ref: str
    old_oid: str | None
    new_oid: str | None


@dataclass(frozen=True, slots=True)
class OpenedPull:
    """A pull request whose `refs/pr/<num>` is about to be created."""

    num: int
    base_ref: str
    base_oid: str | None
    head_oid: str
    title: str
    description: str
    is_draft: bool


Record = Callable[[Session, Repo], None]
# Filled by `discussions`: threads are rows of the same transaction as the refs they speak of.
# Each of the first is called within it; it may refuse, and then nothing happened.
pull_opened: list[Callable[[Session, Actor, Repo, OpenedPull], None]] = []
# Each of these looks at refs that move before the transaction begins (reading git is slow) and
# returns what to record within it, if anything.
refs_moving: list[Callable[[Runtime, Actor, Repo, Sequence[RefUpdate]], Record | None]] = []

# Each reads the head of a pull request that is about to be opened, before the transaction, and returns what
# to record of it under its number, if anything.
pulls_opening: list[Callable[[Runtime, Repo, str], Callable[[Session, Repo, int], None] | None]] = []


def _records(rt: Runtime, actor: Actor, repo: Repo, updates: Sequence[RefUpdate]) -> list[Record]:
    made = [listener(rt, actor, repo, updates) for listener in refs_moving]
    return [record for record in made if record is not None]


def take_thread_num(db: Session, repo_id: int) -> int:
    """The next number of the repository's threads; others wait for it until this transaction ends."""
    repo = lock_repo(db, repo_id)
    repo.next_thread_num += 1
    db.flush()
    return repo.next_thread_num - 1


def _note(db: Session, actor: Actor, repo: Repo, updates: Sequence[RefUpdate]) -> None:
    repo.updated_at = clock.now()
    payload = {
        "repo_id": repo.id,
        "actor_id": actor.user_id,
        "actor_name": actor.name,
        "updates": [asdict(update) for update in updates],
    }
    emit(db, REPO_PUSHED, payload)


def _head_ref(git_repo: pygit2.Repository) -> str:
    return BRANCH_PREFIX + default_branch(git_repo)


def _read_repo(rt: Runtime, repo_id: int) -> Repo:
    with rt.database.reading() as db:
        repo = db.get(Repo, repo_id)
    if repo is None:
        raise RepoNotFound(lazy("Repository Not Found: it was deleted meanwhile."))
    return repo


def record_push(rt: Runtime, actor: Actor, repo_id: int, updates: Sequence[RefUpdate]) -> None:
    """Rows, news and index for refs that have moved already (a git push); opens its own transaction."""
    if not updates:
        return
    repo = _read_repo(rt, repo_id)
    path = git_path(rt, repo)
    head_ref = _head_ref(open_repo(path))
    moved_head = any(update.ref == head_ref for update in updates)
    records = _records(rt, actor, repo, updates)
    while True:
        # Reading weights and cards is slow; the write lock is only taken for the result.
        commit = head_commit(rt, repo)
        facts = read_head_facts(rt, repo.repo_type, path, commit) if moved_head else None
        with rt.database.writing() as db:
            row = lock_repo(db, repo_id)
            if facts is not None and head_commit(rt, row) != commit:
                continue
            if facts is not None:
                store_facts(db, row, facts)
            _note(db, actor, row, updates)
            for record in records:
                record(db, row)
        return


def move_refs(
    rt: Runtime,
    actor: Actor,
    repo_id: int,
    updates: Sequence[RefUpdate],
    *,
    also: Record | None = None,
) -> None:
    """Move refs by compare-and-swap just before COMMIT, with rows, news and index; all or nothing.

    Every object the refs point to is durable already. `also` records more in the same
    transaction, and may refuse. Raises RefConflict where a ref is no longer at `old_oid`; then
    nothing changed.
    """
    repo = _read_repo(rt, repo_id)
    path = git_path(rt, repo)
    git_repo = open_repo(path)
    head_ref = _head_ref(git_repo)
    new_heads = [update.new_oid for update in updates if update.ref == head_ref]
    facts = read_head_facts(rt, repo.repo_type, path, new_heads[-1]) if new_heads else None
    records = _records(rt, actor, repo, updates)
    if also is not None:
        records.append(also)
    with rt.database.writing() as db:
        row = lock_repo(db, repo_id)
        if facts is not None:
            store_facts(db, row, facts)
        _note(db, actor, row, updates)
        for record in records:
            record(db, row)
        db.flush()
        update_refs(git_repo, [git_refs.RefUpdate(item.ref, item.new_oid, item.old_oid) for item in updates])


def open_pull(
    rt: Runtime,
    actor: Actor,
    repo_id: int,
    *,
    base_ref: str,
    base_oid: str | None,
    head_oid: str,
    title: str,
    description: str,
    is_draft: bool = False,
) -> int:
    """Allocate a thread number, create `refs/pr/<number>` at `head_oid`, and tell; the number."""
    seen = _read_repo(rt, repo_id)
    readings = [found for read in pulls_opening if (found := read(rt, seen, head_oid)) is not None]
    with rt.database.writing() as db:
        num = take_thread_num(db, repo_id)
        repo = lock_repo(db, repo_id)
        git_repo = open_repo(git_path(rt, repo))
        # A database restored from an older copy may know fewer threads than git does.
        while read_ref(git_repo, f"{PULL_PREFIX}{num}") is not None:
            num = take_thread_num(db, repo_id)
        ref = f"{PULL_PREFIX}{num}"
        db.add(
            PullRef(repo_id=repo.id, num=num, author_id=actor.user_id, base_ref=base_ref, base_oid=base_oid)
        )
        payload = {
            "repo_id": repo.id,
            "num": num,
            "author_id": actor.user_id,
            "title": title,
            "description": description,
            "base_ref": base_ref,
            "base_oid": base_oid,
            "head_oid": head_oid,
        }
        emit(db, PULL_OPENED, payload)
        opened = OpenedPull(num, base_ref, base_oid, head_oid, title, description, is_draft)
        for record in pull_opened:
            record(db, actor, repo, opened)
        for reading in readings:
            reading(db, repo, num)
        _note(db, actor, repo, [RefUpdate(ref, None, head_oid)])
        db.flush()
        update_ref(git_repo, ref, head_oid, None)
    return num


def can_push_pull(db: Session, actor: Actor, repo: Repo, num: int) -> bool:
    """Whether the actor opened this pull request and so may add commits to it."""
    pull = db.get(PullRef, (repo.id, num))
    return pull is not None and actor.user_id is not None and pull.author_id == actor.user_id


def reconcile(rt: Runtime) -> int:
    """Index again every repository whose git head is not the one in the rows; how many there were.

    Run at start: a crash between the move of a ref and its COMMIT or index leaves such a gap.
    """
    with rt.database.reading() as db:
        rows = db.scalars(select(Repo)).unique().all()
    stale = 0
    for repo in rows:
        try:
            if head_commit(rt, repo) == repo.head_oid:
                continue
        except RepositoryMissing:
            log.error("git data of repository %s (%s) is missing", repo.repo_name, repo.object_id)
            continue
        reindex_repo(rt, repo.id)
        stale += 1
    return stale


__all__ = [
    "PULL_OPENED",
    "REPO_PUSHED",
    "OpenedPull",
    "Record",
    "RefConflict",
    "RefUpdate",
    "can_push_pull",
    "move_refs",
    "open_pull",
    "pull_opened",
    "pulls_opening",
    "reconcile",
    "record_push",
    "refs_moving",
    "take_thread_num",
]
