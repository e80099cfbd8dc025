"""What the forum knows of trust: slots that `moderation` fills, empty without it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from llmos.features.accounts.actor import Actor

# Each answers, in one query, with a level (0 to 4) for those of the people it knows.
trust_levels: list[Callable[[Session, Iterable[int]], dict[int, int]]] = []
# Each answers, in one query, with a short label (text or `lazy`) for those people who carry one.
standing_badges: list[Callable[[Session, Iterable[int]], dict[int, str]]] = []


@dataclass(frozen=True, slots=True)
class TrustStep:
    """A level, its name, what it takes and what it allows: texts or `lazy`, for the page on trust."""

    level: int
    name: str
    takes: tuple[str, ...] = ()
    allows: tuple[str, ...] = ()


# Each answers with the steps, lowest first.
trust_steps: list[Callable[[], list[TrustStep]]] = []

WIKI_LEVEL = 1


def level_of(db: Session, actor: Actor) -> int:
    """The actor's level; that of a member where nobody keeps levels."""
    if actor.user_id is None:
        return 0
    if actor.is_admin:
        return 4
    if not trust_levels:
        return WIKI_LEVEL
    return max(levels(db, [actor.user_id]).get(actor.user_id, 0) for levels in trust_levels)


def badges_of(db: Session, user_ids: Iterable[int | None]) -> dict[int, str]:
    """The labels of these people, for a page that shows what they wrote."""
    ids = sorted({user_id for user_id in user_ids if user_id is not None})
    found: dict[int, str] = {}
    if ids:
        for badges in standing_badges:
            found.update(badges(db, ids))
    return found


def list_steps() -> list[TrustStep]:
    return [step for steps in trust_steps for step in steps()]
