"""Search by words over names, titles, tags and cards, for those who may see the results."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.repos.facts_store import RepoRecord, list_records
from llmos.features.repos.models import Repo
from llmos.features.repos.visibility import visible_to
from llmos.infra.search.index import Hit, search, suggest

# Hits the actor may not see are dropped after the search, so more are asked for than shown.
MAX_HITS = 400


def find_repos(
    db: Session,
    actor: Actor,
    query: str,
    *,
    types: Sequence[RepoType] = (),
    facts: Sequence[str] = (),
    limit: int = 50,
) -> list[tuple[RepoRecord, float]]:
    """Repositories whose name, title, tags or card hold every word, best first, with their score."""
    hits = search(db, query, kinds=[kind.value for kind in types], limit=MAX_HITS)
    return _visible(db, actor, hits, facts, limit)


def suggest_repos(
    db: Session, actor: Actor, beginning: str, *, types: Sequence[RepoType] = (), limit: int = 8
) -> list[RepoRecord]:
    """Repositories whose name goes on as typed so far."""
    hits = suggest(db, beginning, kinds=[kind.value for kind in types], limit=MAX_HITS)
    return [record for record, _score in _visible(db, actor, hits, (), limit)]


def _visible(
    db: Session, actor: Actor, hits: list[Hit], facts: Sequence[str], limit: int
) -> list[tuple[RepoRecord, float]]:
    scores = {hit.doc_key.removeprefix("repo:"): hit.score for hit in hits if hit.doc_key.startswith("repo:")}
    if not scores:
        return []
    statement = select(Repo.id, Repo.object_id).where(Repo.object_id.in_(scores), visible_to(actor))
    by_object = {object_id: repo_id for repo_id, object_id in db.execute(statement)}
    ordered = [object_id for object_id in scores if object_id in by_object][:limit]
    records = list_records(db, [by_object[object_id] for object_id in ordered], facts)
    return [(record, scores[record.object_id]) for record in records]
