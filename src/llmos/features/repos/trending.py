"""The trending score: what people turned to in the last days.

    score = 3 * likes(7 days) + 0.5 * likes(8 to 30 days) + 2 * log2(1 + downloads(7 days))
            + 2 * max(0, 1 - age in days / 7)

Logarithmic in downloads, so that a script cannot outweigh people; the last term gives a new
repository a week to be seen. Scores are recomputed by a periodic task, rounded to two decimals.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.repos.models import DownloadDay, Repo, RepoLike
from llmos.infra.runtime import Runtime

NEWBORN_DAYS = 7


def days_ago(days: int) -> datetime:
    return clock.now() - timedelta(days=days)


def trending_score(likes_7d: int, likes_30d: int, downloads_7d: int, age_days: float) -> float:
    """The formula above; `likes_30d` includes the last 7 days."""
    older = max(likes_30d - likes_7d, 0)
    newborn = 2.0 * max(0.0, 1.0 - max(age_days, 0.0) / NEWBORN_DAYS)
    return round(3.0 * likes_7d + 0.5 * older + 2.0 * math.log2(1 + downloads_7d) + newborn, 2)


def _likes_since(db: Session, days: int) -> dict[int, int]:
    statement = (
        select(RepoLike.repo_id, func.count())
        .where(RepoLike.created_at >= days_ago(days))
        .group_by(RepoLike.repo_id)
    )
    return {row[0]: int(row[1]) for row in db.execute(statement)}


def _downloads_since(db: Session, days: int) -> dict[int, int]:
    statement = (
        select(DownloadDay.repo_id, func.sum(DownloadDay.count))
        .where(DownloadDay.day > days_ago(days).date())
        .group_by(DownloadDay.repo_id)
    )
    return {repo_id: int(count) for repo_id, count in db.execute(statement)}


def recount(rt: Runtime) -> int:
    """Bring `downloads` (30 days) and trending scores up to date; return how many rows changed.

    Reads first and writes only differences, so a quiet instance takes no write lock at all.
    """
    now = clock.now()
    with rt.database.reading() as db:
        week, month = _likes_since(db, 7), _likes_since(db, 30)
        downloads_week, downloads_month = _downloads_since(db, 7), _downloads_since(db, 30)
        rows = db.execute(select(Repo.id, Repo.created_at, Repo.downloads, Repo.trending_score)).all()
    changes = []
    for repo_id, created_at, downloads, score in rows:
        age_days = (now - created_at).total_seconds() / 86_400
        new_score = trending_score(
            week.get(repo_id, 0), month.get(repo_id, 0), downloads_week.get(repo_id, 0), age_days
        )
        new_downloads = downloads_month.get(repo_id, 0)
        if new_score != score or new_downloads != downloads:
            changes.append({"id": repo_id, "trending_score": new_score, "downloads": new_downloads})
    if changes:
        with rt.database.writing() as db:
            db.execute(update(Repo), changes)
    return len(changes)
