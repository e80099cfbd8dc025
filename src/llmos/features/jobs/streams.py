"""What a job has said so far: its log from any place on, and its curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from llmos.features.jobs.models import Job, JobLog, JobMetric

MAX_CURVE_ROWS = 20_000
_MAX_ROWS = 200


@dataclass(frozen=True, slots=True)
class LogLineRow:
    """A line. `mark` is its place, to go on after it; times within a batch differ, so that each
    line can be told from its double."""

    mark: str
    at: datetime
    attempt: int
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """After line `line` of the stored batch `row_id`."""

    row_id: int = 0
    line: int = -1

    @classmethod
    def parse(cls, text: str | None) -> Mark:
        """A mark as given out; anything else means the beginning."""
        row, _, line = (text or "").partition(".")
        if not (row.isascii() and row.isdecimal() and line.isascii() and line.isdecimal()):
            return cls()
        return cls(int(row), int(line)) if len(row) < 18 and len(line) < 9 else cls()


def read_log(
    db: Session, job_id: int, after: Mark, limit_rows: int = _MAX_ROWS
) -> tuple[list[LogLineRow], Mark]:
    """Lines after a mark, oldest first, and the mark after them; call again until there are none."""
    statement = (
        select(JobLog)
        .where(JobLog.job_id == job_id, JobLog.id >= after.row_id)
        .order_by(JobLog.id)
        .limit(limit_rows + 1)
    )
    found: list[LogLineRow] = []
    for row in db.scalars(statement):
        first = after.line + 1 if row.id == after.row_id else 0
        found.extend(_lines(row, first))
        if row.line_count:
            after = Mark(row.id, row.line_count - 1)
    return found, after


def _lines(row: JobLog, first: int = 0) -> Iterator[LogLineRow]:
    for number, (stream, text) in enumerate(orjson.loads(row.lines)):
        if number >= first:
            at = row.at + timedelta(microseconds=number)
            yield LogLineRow(f"{row.id}.{number}", at, row.attempt, stream, text)


def mark_before_last(db: Session, job_id: int, count: int) -> Mark:
    """The mark after which the last `count` lines follow."""
    rows = db.execute(
        select(JobLog.id, JobLog.line_count).where(JobLog.job_id == job_id).order_by(JobLog.id.desc())
    )
    for row in rows:
        if count <= row.line_count:
            return Mark(row.id, row.line_count - count - 1)
        count -= row.line_count
    return Mark()


def all_text(db: Session, job_id: int) -> Iterator[str]:
    """The whole log as text, piece by piece."""
    mark = Mark()
    while True:
        lines, mark = read_log(db, job_id, mark)
        if not lines:
            return
        yield "".join(f"{line.text}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one name in order of step; where a later attempt went over a step again, its value."""

    name: str
    points: list[tuple[int, float | None]]


def read_curves(
    db: Session, job_ids: Sequence[int], *, with_machine: bool = True, max_rows: int = MAX_CURVE_ROWS
) -> dict[int, list[Curve]]:
    """The curves of each job, in order of first appearance; those of the machine (`system/…`) if wanted.

    Of very long runs every n-th batch is read, so that the work stays bounded.
    """
    wanted = [JobMetric.job_id.in_(job_ids)]
    if not with_machine:
        wanted.append(JobMetric.name.not_like("system/%"))
    row_count = db.scalar(select(func.count()).where(JobMetric.job_id.in_(job_ids))) or 0
    statement = select(JobMetric.job_id, JobMetric.name, JobMetric.points, JobMetric.id).where(*wanted)
    if row_count > max_rows:
        place = func.row_number().over(
            partition_by=(JobMetric.job_id, JobMetric.name), order_by=JobMetric.id.desc()
        )
        inner = statement.add_columns(place.label("place")).subquery()
        stride = -(-row_count // max_rows)
        statement = select(inner.c.job_id, inner.c.name, inner.c.points, inner.c.id)
        statement = statement.where((inner.c.place - 1) % stride == 0).order_by(inner.c.id)
    else:
        statement = statement.order_by(JobMetric.id)
    found: dict[int, dict[str, dict[int, float | None]]] = {job_id: {} for job_id in job_ids}
    for job_id, name, points, _ in db.execute(statement):
        found[job_id].setdefault(name, {}).update((step, value) for step, value in orjson.loads(points))
    return {
        job_id: [Curve(name, sorted(points.items())) for name, points in curves.items()]
        for job_id, curves in found.items()
    }


def last_figures(
    db: Session, job_ids: Sequence[int], max_batches: int = 40
) -> dict[int, dict[str, float | None]]:
    """The last value of each curve among the last batches of every job, by name."""
    older = aliased(JobMetric)
    first = (
        select(older.id)
        .where(older.job_id == Job.id, older.name.not_like("system/%"))
        .order_by(older.id.desc())
        .limit(1)
        .offset(max_batches)
        .correlate(Job)
        .scalar_subquery()
    )
    statement = (
        select(JobMetric.job_id, JobMetric.name, JobMetric.points)
        .join(Job, Job.id == JobMetric.job_id)
        .where(
            Job.id.in_(job_ids),
            JobMetric.name.not_like("system/%"),
            JobMetric.id > func.coalesce(first, 0),
        )
        .order_by(JobMetric.id)
    )
    found: dict[int, dict[str, float | None]] = {job_id: {} for job_id in job_ids}
    for job_id, name, points in db.execute(statement):
        for _, value in orjson.loads(points):
            found[job_id][name] = value
    return found
