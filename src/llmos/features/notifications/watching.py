"""How much a person wants to hear of a thread, a repository, a namespace.

The nearest choice decides: of the thread, else of the repository, else of its namespace. Who owns
or made a repository watches it unless they chose otherwise; who takes part in a thread watches it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.discussions.models import Thread
from llmos.features.notifications.models import NamespaceWatch, RepoWatch, ThreadWatch
from llmos.features.repos.models import Repo
from llmos.infra.db.upsert import insert_missing, upsert
from llmos.infra.i18n import lazy

WATCHING: Final = "watching"
PARTICIPATING: Final = "participating"
MUTED: Final = "muted"
LEVELS = (WATCHING, PARTICIPATING, MUTED)


@dataclass(frozen=True, slots=True)
class Listeners:
    """The people who hear of news in a thread: `thread` of it, `repo` of everything, `muted` of nothing."""

    thread: frozenset[int]
    repo: frozenset[int]
    muted: frozenset[int]


def listeners(db: Session, thread: Thread) -> Listeners:
    """Everybody's level for a thread, by the rule above."""
    chosen: dict[int, str] = {}
    repo = db.get(Repo, thread.repo_id) if thread.repo_id else None
    if repo is not None:
        chosen |= _repo_levels(db, repo)
    rows = db.execute(
        select(ThreadWatch.user_id, ThreadWatch.level, ThreadWatch.is_chosen).where(
            ThreadWatch.thread_id == thread.id
        )
    ).all()
    # Taking part does not end a choice to hear nothing of the repository at all.
    own = {row.user_id: row.level for row in rows if row.is_chosen or chosen.get(row.user_id) != MUTED}
    levels = chosen | own
    at_thread = {user_id for user_id, level in own.items() if level == WATCHING}
    return Listeners(
        thread=frozenset(at_thread),
        repo=frozenset(key for key, level in levels.items() if level == WATCHING) - at_thread,
        muted=frozenset(key for key, level in levels.items() if level == MUTED),
    )


def _repo_levels(db: Session, repo: Repo) -> dict[int, str]:
    levels = dict.fromkeys(default_watchers(repo), WATCHING)
    spaces = select(NamespaceWatch.user_id, NamespaceWatch.level)
    for user_id, level in db.execute(spaces.where(NamespaceWatch.namespace_id == repo.namespace_id)):
        levels[user_id] = level
    repos = select(RepoWatch.user_id, RepoWatch.level).where(RepoWatch.repo_id == repo.id)
    for user_id, level in db.execute(repos):
        levels[user_id] = level
    return levels


def default_watchers(repo: Repo) -> set[int]:
    """The people who watch a repository without having said so."""
    owner = {repo.namespace_id} if repo.namespace.kind == "user" else set()
    return owner | ({repo.created_by_id} if repo.created_by_id else set())


def note_part(db: Session, thread_id: int, user_ids: Iterable[int]) -> None:
    """These people take part in a thread from now on; a level they chose stays."""
    now = clock.now()
    rows = [
        {"user_id": user_id, "thread_id": thread_id, "level": WATCHING, "is_chosen": False, "created_at": now}
        for user_id in sorted(set(user_ids))
    ]
    insert_missing(db, ThreadWatch, rows)


def check_level(level: str) -> str:
    if level not in LEVELS:
        raise BadRequest(lazy("level must be one of %(choices)s.", choices=", ".join(LEVELS)))
    return level


def set_thread_level(db: Session, actor: Actor, thread: Thread, level: str) -> None:
    """Choose for one thread; the caller has checked that the actor may see it."""
    row = {
        "user_id": actor.require_user(),
        "thread_id": thread.id,
        "level": check_level(level),
        "is_chosen": True,
        "created_at": clock.now(),
    }
    upsert(db, ThreadWatch, [row], keys=["user_id", "thread_id"], update=["level", "is_chosen"])


def set_repo_level(db: Session, actor: Actor, repo: Repo, level: str) -> None:
    """Choose for one repository; the caller has checked that the actor may see it."""
    row = {"user_id": actor.require_user(), "repo_id": repo.id, "level": check_level(level)}
    upsert(db, RepoWatch, [row | {"created_at": clock.now()}], keys=["user_id", "repo_id"], update=["level"])


def set_namespace_level(db: Session, actor: Actor, namespace: Namespace, level: str) -> None:
    """Choose for all repositories of a person or organisation; `participating` is no choice at all."""
    user_id = actor.require_user()
    if check_level(level) == PARTICIPATING:
        db.execute(
            delete(NamespaceWatch).where(
                NamespaceWatch.user_id == user_id, NamespaceWatch.namespace_id == namespace.id
            )
        )
        return
    row = {"user_id": user_id, "namespace_id": namespace.id, "level": level, "created_at": clock.now()}
    upsert(db, NamespaceWatch, [row], keys=["user_id", "namespace_id"], update=["level"])


def repo_level(db: Session, actor: Actor, repo: Repo) -> str:
    """The actor's level for a repository."""
    user_id = actor.user_id or 0
    row = db.get(RepoWatch, (user_id, repo.id))
    if row is not None:
        return row.level
    space = db.get(NamespaceWatch, (user_id, repo.namespace_id))
    if space is not None:
        return space.level
    return WATCHING if user_id in default_watchers(repo) else PARTICIPATING


def namespace_level(db: Session, actor: Actor, namespace_id: int) -> str:
    """The actor's level for all repositories of a namespace."""
    row = db.get(NamespaceWatch, (actor.user_id or 0, namespace_id))
    return row.level if row else PARTICIPATING


def thread_level(db: Session, actor: Actor, thread: Thread) -> str:
    """The actor's level for a thread."""
    row = db.get(ThreadWatch, (actor.user_id or 0, thread.id))
    if row is not None:
        return row.level
    repo = db.get(Repo, thread.repo_id) if thread.repo_id else None
    return repo_level(db, actor, repo) if repo is not None else PARTICIPATING
