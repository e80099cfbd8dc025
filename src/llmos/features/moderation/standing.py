"""Trust levels: earned by taking part, they open abilities and give reports their weight.

0 newcomer, 1 member, 2 regular, 3 trusted, 4 leader. Administrators and moderators count as 4.
`REQUIREMENTS` says what the first three steps take; the fourth is given, never earned.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, literal, select, union_all
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace, User
from llmos.features.accounts.policy import check_is_admin
from llmos.features.discussions.models import Comment, Reaction, Thread
from llmos.features.moderation.models import UPHELD, Case, Standing
from llmos.features.repos.models import Repo
from llmos.infra.db.upsert import upsert
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

LEADER = 4
MAX_LEVEL = 4
NAMES = (lazy("Newcomer"), lazy("Member"), lazy("Regular"), lazy("Trusted"), lazy("Leader"))
_RECENT = timedelta(days=100)
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Progress:
    """What a person has done so far. A repository with content counts as three posts in two threads."""

    days: int = 0
    posts: int = 0
    threads: int = 0
    reactions_received: int = 0
    reactions_given: int = 0
    answers: int = 0
    upheld_cases: int = 0  # reports of what they wrote that were right, in the last 100 days


@dataclass(frozen=True, slots=True)
class Requirement:
    """The least of each for a level, and the most upheld reports that still allow it."""

    days: int
    posts: int
    threads: int
    reactions_received: int
    reactions_given: int
    answers: int
    max_upheld: int

    def is_met(self, progress: Progress) -> bool:
        return (
            progress.days >= self.days
            and progress.posts >= self.posts
            and progress.threads >= self.threads
            and progress.reactions_received >= self.reactions_received
            and progress.reactions_given >= self.reactions_given
            and progress.answers >= self.answers
            and progress.upheld_cases <= self.max_upheld
        )


# For the levels 1, 2 and 3.
REQUIREMENTS = (
    Requirement(1, 3, 2, 0, 0, 0, 3),
    Requirement(15, 20, 5, 1, 1, 0, 2),
    Requirement(50, 100, 20, 20, 10, 3, 1),
)


def earned_level(progress: Progress) -> int:
    """The highest level all of whose requirements, and those below, are met."""
    level = 0
    for requirement in REQUIREMENTS:
        if not requirement.is_met(progress):
            break
        level += 1
    return level


def is_moderator(db: Session, actor: Actor) -> bool:
    """Whether the actor keeps order on the whole site: administrators and named moderators."""
    if actor.is_suspended or actor.token_role not in (None, "write"):
        return False
    if actor.is_admin:
        return True
    row = db.get(Standing, actor.user_id) if actor.user_id is not None else None
    return row is not None and row.is_moderator


def level_of(db: Session, user_id: int | None) -> int:
    """The level of a person; 0 for somebody unknown."""
    return levels_of(db, [user_id]).get(user_id, 0) if user_id is not None else 0


def levels_of(db: Session, user_ids: Iterable[int | None]) -> dict[int, int]:
    """The levels of several people in one query, for pages that show them."""
    ids = sorted({user_id for user_id in user_ids if user_id is not None})
    statement = (
        select(User.id, User.is_admin, Standing.level, Standing.is_moderator)
        .outerjoin(Standing, Standing.user_id == User.id)
        .where(User.id.in_(ids[:1000]))
    )
    return {
        user_id: LEADER if is_admin or moderates else level or 0
        for user_id, is_admin, level, moderates in db.execute(statement)
    }


def measure_progress(db: Session, user_ids: Sequence[int]) -> dict[int, Progress]:
    """What these people have done, in two queries for all of them."""
    ids = list(user_ids)
    now = clock.now()
    since = dict(db.execute(select(Namespace.id, Namespace.created_at).where(Namespace.id.in_(ids))).all())
    counts: dict[int, dict[str, int]] = {user: {} for user in since}
    for what, user, number in db.execute(union_all(*_deeds(ids, now))):
        counts.setdefault(user, {})[what] = number
    return {
        user: Progress(
            days=(now - since[user]).days,
            posts=done.get("posts", 0) + 3 * done.get("repos", 0),
            threads=done.get("threads", 0) + 2 * done.get("repos", 0),
            reactions_received=done.get("received", 0),
            reactions_given=done.get("given", 0),
            answers=done.get("answers", 0),
            upheld_cases=done.get("upheld", 0),
        )
        for user, done in counts.items()
        if user in since
    }


def _deeds(ids: list[int], now: datetime) -> list[Select[Any]]:
    """One statement for each number of `Progress`: its name, the person, how many."""
    author = Comment.author_id
    written = (author.in_(ids), Comment.hidden_at.is_(None))
    upheld = (Case.owner_id.in_(ids), Case.outcome == UPHELD, Case.judged_at > now - _RECENT)

    def counted(name: str, person: Any, number: Any = None) -> Select[Any]:
        return select(literal(name), person, func.count() if number is None else number).group_by(person)

    return [
        counted("posts", author).where(*written),
        counted("threads", author, func.count(Comment.thread_id.distinct())).where(*written),
        counted("repos", Repo.created_by_id).where(Repo.created_by_id.in_(ids)),
        counted("given", Reaction.user_id).where(Reaction.user_id.in_(ids)),
        counted("received", author)
        .join(Reaction, Reaction.comment_id == Comment.id)
        .where(author.in_(ids), Reaction.user_id != author),
        counted("answers", author)
        .join(Thread, Thread.answer_id == Comment.id)
        .where(author.in_(ids), Thread.author_id != author),
        counted("upheld", Case.owner_id).where(*upheld),
    ]


def recount_standings(rt: Runtime) -> None:
    """Give everybody who wrote or reacted in the last 100 days the level they have earned by now."""
    with rt.database.reading() as db:
        since = clock.now() - _RECENT
        active = set(db.scalars(select(Comment.author_id).where(Comment.created_at > since).distinct()))
        active |= set(db.scalars(select(Repo.created_by_id).where(Repo.updated_at > since).distinct()))
        active |= set(db.scalars(select(Standing.user_id).where(Standing.level > 0)))
    ids = sorted(user_id for user_id in active if user_id is not None)
    for start in range(0, len(ids), _BATCH):
        _recount(rt, ids[start : start + _BATCH])


def _recount(rt: Runtime, ids: list[int]) -> None:
    with rt.database.reading() as db:
        progress = measure_progress(db, ids)
        known = {row.user_id: row for row in db.scalars(select(Standing).where(Standing.user_id.in_(ids)))}
    changed = []
    for user_id, done in progress.items():
        row, level = known.get(user_id), earned_level(done)
        if (row is not None and row.is_fixed) or level == (row.level if row is not None else 0):
            continue
        changed.append({"user_id": user_id, "level": level, "updated_at": clock.now()})
    if changed:
        with rt.database.writing() as db:
            upsert(db, Standing, changed, keys=["user_id"], update=["level", "updated_at"])


def set_standing(db: Session, actor: Actor, user: User, *, level: int | None, moderates: bool) -> None:
    """Fix somebody's level (None: earned again) and whether they are a moderator. For administrators."""
    check_is_admin(actor)
    if level is not None and not 0 <= level <= MAX_LEVEL:
        raise BadRequest(lazy("level must be 0 to 4, or empty for the level that was earned."))
    row = db.get(Standing, user.id) or Standing(user_id=user.id, level=0)
    row.is_fixed = level is not None
    row.level = level if level is not None else earned_level(measure_progress(db, [user.id])[user.id])
    row.is_moderator = moderates
    row.updated_at = clock.now()
    db.add(row)
    audit.record(db, actor, "standing.change", user.name, level=level, moderator=moderates)
