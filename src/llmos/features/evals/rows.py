"""Rows of results: lines of result files, and records whose signature holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.repo_types import RepoType
from llmos.features.evals.evidence import Evidence, facts_of, signer_of
from llmos.features.evals.instances import trusted_keys
from llmos.features.evals.log import add_to_log
from llmos.features.evals.models import COMMUNITY, SELF_REPORTED, SIGNED, Benchmark, EvalResult, LogEntry
from llmos.features.evals.naming import find_datasets
from llmos.features.evals.reading import Reading
from llmos.features.evals.said import keep
from llmos.features.repos.models import Repo, RepoAlias
from llmos.infra.i18n import lazy
from llmos.wire.evaluation import MetricValue, Predicate

TOKEN_HEAD = "llmos:v1:"


class Rows:
    """The rows of one reading."""

    def __init__(self, db: Session, repo: Repo, reading: Reading, pull_num: int) -> None:
        self.db, self.repo, self.reading, self.pull_num = db, repo, reading, pull_num
        keys = [item.predicate.benchmark.repo for item in reading.evidence if item.predicate]
        keys += [entry["dataset"]["id"] for _, entry in reading.claims]
        self.datasets = find_datasets(db, [key for key in keys if key])

    def store(self) -> None:
        signed: dict[str, EvalResult] = {}
        doubts: dict[str, str] = {}
        for item in self.reading.evidence:
            row, doubts[item.record_id] = self._signed(item)
            if row is not None:
                signed[item.record_id] = row
        for filename, entry in self.reading.claims:
            self._claim(filename, entry, signed, doubts)
        self.db.flush()

    def _signed(self, item: Evidence) -> tuple[EvalResult | None, str]:
        """The row of an envelope that holds, or why it does not."""
        predicate = item.predicate
        if predicate is None or item.problem:
            return None, item.problem or lazy("its envelope cannot be read")
        trusted = trusted_keys(self.db, self.reading.own)
        signer = signer_of(item.text, trusted)
        if signer is None:
            return None, lazy("it is signed by nobody this instance knows")
        if not is_about(self.db, predicate, self.repo):
            return None, lazy("the record is of another model: %(name)s", name=predicate.model.repo)
        entry = add_to_log(
            self.db,
            predicate.record_id,
            item.text,
            signer,
            signer_name=trusted[signer],
            repo_id=self.repo.id,
            bundle_path=item.folder,
            commit_oid=self.reading.commit,
        )
        row = row_of_record(self.db, self.repo, predicate, entry, self.datasets)
        if row is None:
            return None, lazy("the record names no benchmark of a repository, or no metric")
        row.pull_num, row.commit_oid, row.is_in_tree = self.pull_num, self.reading.commit, True
        self.db.add(row)
        return row, ""

    def _claim(
        self,
        filename: str,
        entry: dict[str, Any],
        signed: Mapping[str, EvalResult],
        doubts: Mapping[str, str],
    ) -> None:
        """A line of a result file: it says more of a signed row, or is a row of its own."""
        token = str(entry.get("verifyToken") or "")
        record_id = token.rpartition(":")[2] if token.startswith(TOKEN_HEAD) else ""
        row = signed.get(record_id)
        doubt = ""
        if row is not None and _agrees(row, entry):
            _describe(row, filename, entry)
            return
        if row is not None:
            doubt = lazy("the record it names says something else: %(value)s", value=f"{row.value:.6g}")
        elif token:
            other = lazy("its token is of another site, which nobody else can check")
            missing = lazy("there is no record %(record)s in this repository", record=record_id[:32])
            doubt = doubts.get(record_id) or (missing if record_id else other)
        self.db.add(self._reported(filename, entry, token, keep(doubt)))

    def _reported(self, filename: str, entry: dict[str, Any], token: str, doubt: str) -> EvalResult:
        dataset, value = entry["dataset"], float(entry["value"])
        key = str(dataset["id"]).lower()[:200]
        found = self.datasets.get(key)
        text = f"{self.repo.object_id}|{self.pull_num}|{filename}|{key}|{dataset['task_id']}|{value!r}"
        row = EvalResult(
            repo_id=self.repo.id,
            dataset_id=found,
            dataset_key=key,
            task_id=str(dataset["task_id"])[:120],
            record_id=hashlib.sha256(text.encode()).hexdigest()[:32],
            evidence=COMMUNITY if self.pull_num else SELF_REPORTED,
            value=value,
            order_value=value,
            claim=token[:400],
            doubt=doubt[:400],
            dataset_revision=str(dataset.get("revision") or "")[:64] or None,
            pull_num=self.pull_num,
            commit_oid=self.reading.commit,
            created_at=_date(entry.get("date")) or clock.now(),
            metrics=[],
        )
        _describe(row, filename, entry)
        return row


def _describe(row: EvalResult, filename: str, entry: Mapping[str, Any]) -> None:
    source = entry.get("source") or {}
    row.filename = filename[:400]
    row.source_url = str(source.get("url") or "")[:1000]
    row.source_name = str(source.get("name") or source.get("user") or source.get("org") or "")[:200]
    row.notes = str(entry.get("notes") or "")[:2000]
    row.claim = str(entry.get("verifyToken") or "")[:400]


def _agrees(row: EvalResult, entry: Mapping[str, Any]) -> bool:
    dataset, value = entry["dataset"], float(entry["value"])
    same = str(dataset["id"]).lower() == row.dataset_key and str(dataset["task_id"]) == row.task_id
    return same and abs(value - row.value) <= 1e-9 * max(abs(value), abs(row.value), 1.0)


def _date(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value)) if value else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)


def is_about(db: Session, predicate: Predicate, repo: Repo) -> bool:
    """Whether the record names this model, by its present or an earlier name, or no repository at all."""
    name = (predicate.model.repo or "").lower()
    if not name or name == repo.repo_name.lower():
        return True
    alias = db.get(RepoAlias, (RepoType.MODEL.value, name[:200]))
    return alias is not None and alias.repo_id == repo.id


def pick_metric(db: Session, predicate: Predicate, dataset_id: int | None) -> MetricValue | None:
    """The value the board ranks by: the metric of the benchmark where the record has it, else its first."""
    statement = select(Benchmark.metric).where(
        Benchmark.repo_id == dataset_id, Benchmark.task_id == predicate.benchmark.task_id[:120]
    )
    wanted = db.scalar(statement) if dataset_id is not None else None
    found = [item for item in predicate.metrics if item.name == wanted]
    return next(iter(found or predicate.metrics), None)


def row_of_record(
    db: Session, repo: Repo, predicate: Predicate, entry: LogEntry, datasets: Mapping[str, int]
) -> EvalResult | None:
    """The row of a record whose signature holds; None where it belongs on no board."""
    key = (predicate.benchmark.repo or "").lower()[:200]
    dataset_id = datasets.get(key)
    metric = pick_metric(db, predicate, dataset_id)
    if metric is None or not key:
        return None
    return EvalResult(
        repo_id=repo.id,
        dataset_id=dataset_id,
        dataset_key=key,
        task_id=predicate.benchmark.task_id[:120],
        record_id=predicate.record_id,
        evidence=SIGNED,
        metric=metric.name[:80],
        value=metric.value,
        order_value=metric.value if metric.higher_is_better else -metric.value,
        low=metric.low,
        high=metric.high,
        n=metric.n,
        filename=f"{entry.bundle_path}/statement.json",
        signer_keyid=entry.keyid,
        signer_name=entry.signer_name,
        party=entry.party or f"key:{entry.keyid}"[:100],
        **facts_of(predicate) | ({"job_object_id": entry.job_object_id} if entry.job_object_id else {}),
    )
