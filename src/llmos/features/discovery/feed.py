"""What happens around the people and organisations somebody follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, delete, exists, or_, select
from sqlalchemy.orm import Session, aliased

from llmos.core import clock
from llmos.core.pagination import Page, decode_cursor, make_page
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Follow, Namespace
from llmos.features.accounts.queries import NamespaceCard, card_of
from llmos.features.discovery.models import FeedEntry
from llmos.features.discussions.hrefs import repo_href, thread_href
from llmos.features.discussions.models import Thread
from llmos.features.repos.cursors import cursor_int
from llmos.features.repos.models import Repo
from llmos.features.repos.visibility import visible_to
from llmos.infra.runtime import Runtime

KEPT_DAYS = 90


@dataclass(frozen=True, slots=True)
class News:
    """`kind`: created, pushed, liked, topic, discussion or pull; `subject` is a name or a title."""

    id: int
    kind: str
    actor: NamespaceCard | None
    subject: str
    href: str
    where: str
    created_at: datetime


def list_feed(db: Session, actor: Actor, *, limit: int = 20, cursor: str | None = None) -> Page[News]:
    """The latest first, without what the actor did and what they may not see."""
    user_id = actor.require_user()
    followed = select(Follow.namespace_id).where(Follow.follower_id == user_id)
    who = aliased(Namespace)
    statement = (
        select(FeedEntry, who, Repo, Thread)
        .outerjoin(who, who.id == FeedEntry.actor_id)
        .outerjoin(Repo, Repo.id == FeedEntry.repo_id)
        .outerjoin(Thread, Thread.id == FeedEntry.thread_id)
        .where(
            # A sum uses no index: reading from the newest on finds a page sooner than sorting
            # all that ever happened around everybody followed.
            or_(
                (FeedEntry.actor_id + 0).in_(followed),
                # What strangers like there is no news: a loved model would drown everything else.
                and_((FeedEntry.namespace_id + 0).in_(followed), FeedEntry.kind != "liked"),
            ),
            or_(FeedEntry.actor_id.is_(None), FeedEntry.actor_id != user_id),
            or_(FeedEntry.repo_id.is_(None), visible_to(actor)),
            or_(FeedEntry.thread_id.is_(None), Thread.hidden_at.is_(None)),
        )
    )
    after = decode_cursor(cursor, 1)
    if after:
        statement = statement.where(FeedEntry.id < cursor_int(after[0]))
    rows = db.execute(statement.order_by(FeedEntry.id.desc()).limit(limit + 1)).unique()
    return make_page([news for row in rows if (news := _news(*row))], limit, lambda news: [news.id])


def _news(entry: FeedEntry, who: Namespace | None, repo: Repo | None, thread: Thread | None) -> News | None:
    card = card_of(who) if who is not None else None
    where = repo.repo_name if repo is not None else ""
    if entry.thread_id is not None:
        if thread is None:
            return None
        return News(entry.id, entry.kind, card, thread.title, thread_href(thread), where, entry.created_at)
    if repo is None:
        return None
    return News(entry.id, entry.kind, card, repo.repo_name, repo_href(repo), "", entry.created_at)


def suggest_to_follow(
    db: Session, actor: Actor, *, limit: int = 5, is_for_newcomers: bool = False
) -> Sequence[NamespaceCard]:
    """Owners of what is trending; `is_for_newcomers`: nobody for those who follow somebody already."""
    statement = (
        select(Repo)
        .where(Repo.visibility == "public", Repo.namespace_id != actor.user_id)
        .order_by(Repo.trending_score.desc(), Repo.id.desc())
        .limit(40)
    )
    if is_for_newcomers:
        statement = statement.where(~exists().where(Follow.follower_id == actor.user_id))
    found: dict[int, NamespaceCard] = {}
    for repo in db.scalars(statement).unique():
        found.setdefault(repo.namespace_id, card_of(repo.namespace))
    return list(found.values())[:limit]


def forget_old_news(rt: Runtime) -> None:
    """Worker task: the feed is for reading, not for archives."""
    with rt.database.writing() as db:
        db.execute(delete(FeedEntry).where(FeedEntry.created_at < clock.now() - timedelta(days=KEPT_DAYS)))
