"""News from the outbox -> days of activity and entries of the feed. Only what everybody may see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.discovery.models import ActivityDay, FeedEntry
from llmos.features.discussions.models import PULL_REQUEST, TOPIC, Thread
from llmos.features.repos.models import Repo
from llmos.infra.db.upsert import insert_missing
from llmos.infra.queue.outbox import on

DAYS = 371  # 53 whole weeks


def note_activity(db: Session, user_id: int | None, kind: str, count: int = 1) -> None:
    """Add to what a person did today (UTC)."""
    if user_id is None:
        return
    key = {"user_id": user_id, "day": clock.now().date(), "kind": kind}
    insert_missing(db, ActivityDay, [key | {"count": 0}])
    db.execute(
        update(ActivityDay)
        .where(*(getattr(ActivityDay, name) == value for name, value in key.items()))
        .values(count=ActivityDay.count + count)
    )


def _public_repo(db: Session, repo_id: Any) -> Repo | None:
    repo = db.get(Repo, repo_id) if isinstance(repo_id, int) else None
    return repo if repo is not None and not repo.is_private else None


def _feed(
    db: Session, kind: str, actor_id: int | None, repo: Repo | None, thread_id: int | None = None
) -> None:
    namespace_id = repo.namespace_id if repo is not None else None
    entry = FeedEntry(kind=kind, actor_id=actor_id, namespace_id=namespace_id, thread_id=thread_id)
    entry.repo_id = repo.id if repo is not None else None
    db.add(entry)


@on("RepoCreated")
def _repo_created(db: Session, payload: dict[str, Any]) -> None:
    if repo := _public_repo(db, payload["repo_id"]):
        note_activity(db, payload.get("actor_id"), "repo")
        _feed(db, "created", payload.get("actor_id"), repo)


@on("RepoPushed")
def _repo_pushed(db: Session, payload: dict[str, Any]) -> None:
    repo = _public_repo(db, payload["repo_id"])
    if repo is None:
        return
    note_activity(db, payload.get("actor_id"), "commit", max(1, len(payload.get("updates") or ())))
    recent = select(FeedEntry).where(
        FeedEntry.repo_id == repo.id,
        FeedEntry.kind == "pushed",
        FeedEntry.created_at > clock.now() - timedelta(hours=6),
    )
    # A day of small commits is one piece of news.
    if db.scalars(recent.limit(1)).first() is None:
        _feed(db, "pushed", payload.get("actor_id"), repo)


@on("RepoLiked")
def _repo_liked(db: Session, payload: dict[str, Any]) -> None:
    if repo := _public_repo(db, payload["repo_id"]):
        note_activity(db, payload["user_id"], "like")
        _feed(db, "liked", payload["user_id"], repo)


def _thread_of(db: Session, payload: dict[str, Any]) -> Thread | None:
    thread = db.get(Thread, payload["thread_id"])
    if thread is None or (thread.repo is not None and thread.repo.is_private):
        return None
    return thread


@on("ThreadOpened")
def _thread_opened(db: Session, payload: dict[str, Any]) -> None:
    thread = _thread_of(db, payload)
    if thread is not None and thread.status != "draft":
        kind = {TOPIC: "topic", PULL_REQUEST: "pull"}.get(thread.kind, "discussion")
        note_activity(db, payload.get("actor_id"), "post")
        _feed(db, kind, payload.get("actor_id"), thread.repo, thread.id)


@on("CommentPosted")
def _comment_posted(db: Session, payload: dict[str, Any]) -> None:
    if _thread_of(db, payload) is not None:
        note_activity(db, payload.get("actor_id"), "post")


@on("ReviewSubmitted")
def _review_submitted(db: Session, payload: dict[str, Any]) -> None:
    if _thread_of(db, payload) is not None:
        note_activity(db, payload.get("actor_id"), "post")


@dataclass(frozen=True, slots=True)
class ActivityYear:
    """53 weeks, the last one ending today: `weeks[w][d]` is a day with its count, None after today.

    `level` of a count is 0 to 4, by quarters of the busiest day.
    """

    weeks: list[list[tuple[date, int] | None]]
    total: int
    busiest: int

    def level(self, count: int) -> int:
        return 0 if count == 0 else min(4, 1 + (count - 1) * 4 // max(self.busiest, 1))


def activity_year(db: Session, user_id: int, today: date | None = None) -> ActivityYear:
    """What a person did in public, day by day, over the last year. One query."""
    last = today or clock.now().date()
    first = last - timedelta(days=last.weekday() + 7 * 52)
    rows = db.execute(
        select(ActivityDay.day, func.sum(ActivityDay.count))
        .where(ActivityDay.user_id == user_id, ActivityDay.day >= first)
        .group_by(ActivityDay.day)
    )
    counts = {day: int(count) for day, count in rows}
    weeks: list[list[tuple[date, int] | None]] = []
    for week in range(53):
        days = [first + timedelta(days=7 * week + number) for number in range(7)]
        weeks.append([(day, counts.get(day, 0)) if day <= last else None for day in days])
    return ActivityYear(weeks, sum(counts.values()), max(counts.values(), default=0))
