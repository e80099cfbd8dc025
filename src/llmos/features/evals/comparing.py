"""Whether two records differ by more than chance: paired tests over the samples both have answered."""

from __future__ import annotations

import logging
import math
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import LlmosError
from llmos.features.evals.evidence import read_payload, read_statement
from llmos.features.evals.models import EvalResult, LogEntry, RecordScores
from llmos.features.evals.samples import read_answers
from llmos.features.repos.models import Repo
from llmos.infra.db.upsert import insert_missing
from llmos.infra.git.caches import LruCache
from llmos.infra.runtime import Runtime
from llmos.records.paired import mcnemar
from llmos.records.resample import pseudo_values

log = logging.getLogger(__name__)

LEVEL = 0.05
MAX_SAMPLES = 100_000
MAX_NUMBERS = 2_000_000
# What four bytes hold.
MAX_SCORE = 3e38
_A_TURN = 20
# 1: a tie, 2: none. Records never change, so neither does this.
_known: LruCache[tuple[str, str], int] = LruCache(20_000)


def known_ties(db: Session, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], bool]:
    """Of pairs of records that have answered the same samples: whether these do not tell them apart.

    Pairs without such samples are left out. At most one query.
    """
    wanted = list(pairs)
    found = {pair: known == 1 for pair in wanted if (known := _known.get(pair)) is not None}
    missing = [pair for pair in wanted if pair not in found]
    ids = {record_id for pair in missing for record_id in pair}
    if not ids:
        return found
    statement = select(RecordScores).where(RecordScores.record_id.in_(ids))
    scores = {row.record_id: row for row in db.scalars(statement)}
    for pair in missing:
        one, other = scores.get(pair[0]), scores.get(pair[1])
        if one is None or other is None or not one.scores or one.rows_sha256 != other.rows_sha256:
            continue
        if len(one.scores) == len(other.scores):
            tie = is_tie(_unpack(one.scores), _unpack(other.scores))
            _known.put(pair, 1 if tie else 2)
            found[pair] = tie
    return found


def is_tie(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two systems' scores of the same samples differ by no more than chance, at 5 %.

    McNemar's exact test where each is 0 or 1; else the paired normal test of the mean difference.
    """
    gaps = [a - b for a, b in zip(one, other, strict=True)]
    if all(value in (0.0, 1.0) for value in (*one, *other)):
        return mcnemar(gaps.count(1.0), gaps.count(-1.0)) >= LEVEL
    mean = math.fsum(gaps) / len(gaps)
    spread = math.fsum((gap - mean) ** 2 for gap in gaps) / max(len(gaps) - 1, 1)
    if spread == 0:
        return mean == 0
    return math.erfc(abs(mean) / math.sqrt(2 * spread / len(gaps))) >= LEVEL


def _is_small(parts: Collection[Mapping[str, float]]) -> bool:
    """Whether numbers of a stranger's record are few enough to work with."""
    keys = {key for of_one in parts for key in of_one}
    return 0 < len(keys) * len(parts) <= MAX_NUMBERS


def _unpack(data: bytes) -> array[float]:
    found = array("f")
    found.frombytes(data)
    return found


def keep_scores(rt: Runtime) -> int:
    """Take the scores out of records that came since the last turn; how many. In the worker."""
    with rt.database.reading() as db:
        statement = (
            select(LogEntry, Repo, EvalResult.metric)
            .join(Repo, Repo.id == LogEntry.repo_id)
            .join(EvalResult, (EvalResult.record_id == LogEntry.record_id) & (EvalResult.repo_id == Repo.id))
            .outerjoin(RecordScores, RecordScores.record_id == LogEntry.record_id)
            .where(RecordScores.record_id.is_(None), LogEntry.bundle_path != "")
            .order_by(LogEntry.leaf_index)
            .limit(_A_TURN)
        )
        waiting = [(row[0], row[1], row[2]) for row in db.execute(statement).unique()]
    for entry, repo, metric in waiting:
        predicate = read_statement(read_payload(entry.envelope)).predicate
        signature = next((x.signature for x in predicate.metrics if x.name == metric), "")
        row = {
            "record_id": entry.record_id,
            "rows_sha256": predicate.benchmark.rows_sha256,
            "scores": _read(rt, entry, repo, metric, signature),
        }
        with rt.database.writing() as db:
            insert_missing(db, RecordScores, [row])
    return len(waiting)


def _read(rt: Runtime, entry: LogEntry, repo: Repo, metric: str, signature: str) -> bytes:
    """The packed scores by row; empty where a sample has none, or the file cannot be read."""
    scores: dict[str, float] = {}
    parts: dict[str, Mapping[str, float]] = {}
    try:
        for answer in read_answers(rt, repo, entry.commit_oid or "HEAD", entry.bundle_path, metric):
            if len(parts) >= MAX_SAMPLES or answer.row_sha256 in parts:
                return b""
            parts[answer.row_sha256] = answer.parts
            if answer.score is not None:
                scores[answer.row_sha256] = answer.score
        if not scores and _is_small(parts.values()):
            stand_ins = pseudo_values(metric, signature, list(parts.values()))
            scores = dict(zip(parts, stand_ins, strict=True))
    except LlmosError as error:
        log.warning("scores of record %s cannot be read: %s", entry.record_id, error.message)
        return b""
    except (ArithmeticError, KeyError, ValueError):
        # Numbers of a stranger's record that make no figure.
        return b""
    if len(scores) != len(parts) or not all(abs(value) < MAX_SCORE for value in scores.values()):
        return b""
    return array("f", [scores[key] for key in sorted(scores)]).tobytes()
