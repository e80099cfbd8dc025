"""Items of a benchmark that stand in training data, and scores without them.

Who checks a benchmark against a data set (`llmos eval contamination --out`) commits what was found to the
benchmark as `contamination/<name>.json`, or offers it as a pull request. Every signed record of a model
whose card names that data set then has a second score: over the items that were not found.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import orjson
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core.errors import LlmosError
from llmos.features.evals.evidence import read_payload, read_statement
from llmos.features.evals.models import SIGNED, CleanScore, EvalResult, LogEntry, Overlap
from llmos.features.evals.samples import read_answers
from llmos.features.repos.cards.findings import is_repo_id
from llmos.features.repos.models import Repo, RepoLink
from llmos.infra.db.upsert import insert_missing
from llmos.infra.runtime import Runtime
from llmos.records.aggregates import recompute

log = logging.getLogger(__name__)

FOLDER = "contamination"
MAX_ITEMS = 100_000
# As much of a row's digest as tells rows of one benchmark apart.
DIGEST_CHARS = 16
_A_TURN = 20
# Records and the data sets in which items were found, more than one record can have.
_MOST_PAIRS = 400


def read_overlap(data: bytes) -> tuple[str, list[str]] | None:
    """The data set that was looked into, in lower case, and the digests of the rows found; None for a file
    that tells of neither, or of several places."""
    try:
        value = orjson.loads(data)
        (place,), rows = value["data"], list(value["rows"].values())
    except (orjson.JSONDecodeError, TypeError, ValueError, KeyError, AttributeError):
        return None
    is_good = all(isinstance(row, str) and len(row) == 64 for row in rows) and len(rows) <= MAX_ITEMS
    if not is_repo_id(place) or "/" not in place or not is_good:
        return None
    return place.lower(), sorted({row[:DIGEST_CHARS] for row in rows})


def store_overlaps(db: Session, repo: Repo, found: dict[str, list[str]]) -> None:
    """What was found in which data set, in place of what was known of this benchmark."""
    known = list(db.scalars(select(Overlap).where(Overlap.repo_id == repo.id)))
    if {row.dataset_key: row.rows.split() for row in known} == found:
        return
    db.execute(delete(Overlap).where(Overlap.repo_id == repo.id))
    db.add_all(
        Overlap(repo_id=repo.id, dataset_key=key, rows=" ".join(rows)) for key, rows in sorted(found.items())
    )
    records = select(EvalResult.record_id).where(EvalResult.dataset_id == repo.id)
    db.execute(delete(CleanScore).where(CleanScore.record_id.in_(records)))
    db.flush()


def forget_scores(db: Session, model: Repo) -> None:
    """The card of a model may name other data now: its scores are worked out anew."""
    records = select(EvalResult.record_id).where(EvalResult.repo_id == model.id)
    db.execute(delete(CleanScore).where(CleanScore.record_id.in_(records)))


def clean_scores(rt: Runtime) -> int:
    """Work out scores without the items found; how many records were looked at. In the worker."""
    with rt.database.reading() as db:
        waiting = _waiting(db)
    for entry, repo, metric, names, rows in waiting:
        row = {"record_id": entry.record_id, "found_in": ", ".join(names)[:400], "items": 0, "value": None}
        try:
            row |= _without(rt, entry, repo, metric, rows)
        except (LlmosError, ArithmeticError, KeyError, ValueError) as error:
            log.warning("record %s has no score without items found: %s", entry.record_id, error)
        with rt.database.writing() as db:
            insert_missing(db, CleanScore, [row])
    return len(waiting)


def _waiting(db: Session) -> list[tuple[LogEntry, Repo, str, list[str], set[str]]]:
    """Records that are shown, of models that name data in which items of the benchmark were found."""
    is_named = (RepoLink.relation == "dataset") & (RepoLink.target_key == "dataset:" + Overlap.dataset_key)
    statement = (
        select(LogEntry, Repo, EvalResult.metric, Overlap.dataset_key, Overlap.rows)
        .join(EvalResult, EvalResult.record_id == LogEntry.record_id)
        .join(Repo, Repo.id == EvalResult.repo_id)
        .join(Overlap, Overlap.repo_id == EvalResult.dataset_id)
        .join(RepoLink, (RepoLink.repo_id == Repo.id) & is_named)
        .outerjoin(CleanScore, CleanScore.record_id == LogEntry.record_id)
        .where(CleanScore.record_id.is_(None), LogEntry.bundle_path != "", LogEntry.repo_id == Repo.id)
        .where(EvalResult.is_shown.is_(True), EvalResult.evidence >= SIGNED)
        .order_by(LogEntry.leaf_index, Overlap.dataset_key)
        .limit(_MOST_PAIRS)
    )
    pairs = db.execute(statement).unique().all()
    found: dict[str, tuple[LogEntry, Repo, str, list[str], set[str]]] = {}
    for entry, repo, metric, name, rows in pairs:
        one = found.setdefault(entry.record_id, (entry, repo, metric, [], set()))
        one[3].append(name)
        one[4].update(rows.split())
    # The last record may have more data sets than were read.
    whole = list(found.values())[: -1 if len(pairs) == _MOST_PAIRS else None]
    return whole[:_A_TURN]


def _without(
    rt: Runtime, entry: LogEntry, repo: Repo, metric: str, rows: Iterable[str]
) -> dict[str, int | float | None]:
    predicate = read_statement(read_payload(entry.envelope)).predicate
    signature = next((one.signature for one in predicate.metrics if one.name == metric), "")
    flagged, items, rest = set(rows), 0, []
    for answer in read_answers(rt, repo, entry.commit_oid or "HEAD", entry.bundle_path, metric):
        if answer.row_sha256[:DIGEST_CHARS] in flagged:
            items += 1
        elif answer.score is not None:
            rest.append({metric: answer.score})
        else:
            rest.append(dict(answer.parts))
    return {"items": items, "value": recompute(metric, signature, rest) if items and rest else None}
