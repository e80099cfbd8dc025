"""What the forum shows of trust: labels beside names, and the page that explains the levels."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.features.accounts.models import User
from llmos.features.discussions import forum_trust
from llmos.features.discussions.forum_trust import TrustStep
from llmos.features.moderation.limits import (
    NEWCOMER_IMAGES,
    NEWCOMER_LINKS,
    NEWCOMER_MENTIONS,
    NEWCOMER_REPLIES_A_DAY,
    NEWCOMER_THREADS_A_DAY,
)
from llmos.features.moderation.models import Standing
from llmos.features.moderation.standing import LEADER, NAMES, REQUIREMENTS, Requirement, levels_of
from llmos.infra.i18n import lazy

_SHOWN_FROM = 2


def fill_forum_trust() -> None:
    """Tell the forum what this feature knows of people."""
    forum_trust.trust_levels[:] = [levels_of]
    forum_trust.standing_badges[:] = [labels_of]
    forum_trust.trust_steps[:] = [list_trust_steps]


def labels_of(db: Session, user_ids: Iterable[int]) -> dict[int, str]:
    """The label of moderators, administrators, and of people from level 2 on; one query."""
    statement = (
        select(User.id, User.is_admin, Standing.level, Standing.is_moderator)
        .outerjoin(Standing, Standing.user_id == User.id)
        .where(User.id.in_(list(user_ids)[:1000]))
    )
    found: dict[int, str] = {}
    for user_id, is_admin, level, moderates in db.execute(statement):
        if is_admin or moderates:
            found[user_id] = lazy("Administrator") if is_admin else lazy("Moderator")
        elif (level or 0) >= _SHOWN_FROM:
            found[user_id] = NAMES[level]
    return found


def _takes(need: Requirement) -> tuple[str, ...]:
    lines = [
        lazy("%(count)s days here", count=need.days) if need.days > 1 else lazy("One day here"),
        lazy("%(posts)s posts in %(threads)s threads", posts=need.posts, threads=need.threads),
    ]
    if need.reactions_received:
        lines.append(
            lazy(
                "%(received)s reactions received, %(given)s given",
                received=need.reactions_received,
                given=need.reactions_given,
            )
        )
    if need.answers:
        lines.append(lazy("%(count)s accepted answers", count=need.answers))
    lines.append(lazy("At most %(count)s reports that were right, in 100 days", count=need.max_upheld))
    return tuple(lines)


def list_trust_steps() -> list[TrustStep]:
    """The five levels; a published repository counts as three posts in two threads."""
    newcomer = (
        lazy(
            "Write up to %(threads)s threads and %(replies)s replies a day",
            threads=NEWCOMER_THREADS_A_DAY,
            replies=NEWCOMER_REPLIES_A_DAY,
        ),
        lazy(
            "Posts with up to %(links)s links, %(images)s picture and %(mentions)s mentions",
            links=NEWCOMER_LINKS,
            images=NEWCOMER_IMAGES,
            mentions=NEWCOMER_MENTIONS,
        ),
    )
    member = (lazy("Write as much as you like, with any links"), lazy("Improve wiki posts"))
    regular = (lazy("A label beside your name"), lazy("Your reports weigh more"))
    trusted = (lazy("No limit on how fast you write"), lazy("Your reports can hide spam at once"))
    leader = (lazy("Keep order in the forum: move, close, lock, pin and hide"),)
    return [
        TrustStep(0, NAMES[0], (), newcomer),
        TrustStep(1, NAMES[1], _takes(REQUIREMENTS[0]), member),
        TrustStep(2, NAMES[2], _takes(REQUIREMENTS[1]), regular),
        TrustStep(3, NAMES[3], _takes(REQUIREMENTS[2]), trusted),
        TrustStep(LEADER, NAMES[LEADER], (lazy("It is given by the administrators"),), leader),
    ]
