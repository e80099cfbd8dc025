"""Large objects that were sent and that no commit ever named: given up after the grace of collection."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select

from llmos.core import clock
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.repos.claims import mark_used
from llmos.features.repos.lfs_removal import remove_claims
from llmos.features.repos.models import Repo, RepoLfsClaim
from llmos.features.repos.storage_places import read_places
from llmos.infra.runtime import Runtime

BUDGET_S = 60.0
_SYSTEM = Actor(name="system")


def drop_unused_claims(rt: Runtime) -> int:
    """Stop counting them against the quota; how many there were.

    Whoever commits an object marks its claim first (`mark_used`). A claim without that mark, from
    before marks were kept, is looked for in the whole history; one found there is marked now.
    """
    cutoff = clock.now() - timedelta(days=rt.settings.gc_grace_days)
    with rt.database.reading() as db:
        repo_ids = db.scalars(select(RepoLfsClaim.repo_id).where(*_is_idle(cutoff)).distinct()).all()
    return sum(_drop_of(rt, repo_id, cutoff) for repo_id in repo_ids)


def _is_idle(cutoff: datetime) -> tuple[ColumnElement[bool], ...]:
    return RepoLfsClaim.used_at.is_(None), RepoLfsClaim.created_at < cutoff


def _drop_of(rt: Runtime, repo_id: int, cutoff: datetime) -> int:
    idle = select(RepoLfsClaim.oid).where(RepoLfsClaim.repo_id == repo_id, *_is_idle(cutoff))
    with rt.database.reading() as db:
        repo = db.get(Repo, repo_id)
        oids = set(db.scalars(idle))
    if repo is None:
        return 0
    history = read_places(rt, repo, budget_s=BUDGET_S)
    if not history.is_complete:
        return 0
    mark_used(rt, repo_id, oids & history.objects.keys())
    with rt.database.writing() as db:
        repo = db.get(Repo, repo_id)
        gone = sorted(oids.intersection(db.scalars(idle)))
        if repo is None or not gone:
            return 0
        count = remove_claims(db, rt.settings, _SYSTEM, repo, gone, {})
        audit.record(db, _SYSTEM, "repo.lfs_expire", repo.key, count=count)
    return count
