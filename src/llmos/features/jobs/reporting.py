"""What a runner tells of its job: events, signs of life, and states it proposes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.jobs.ending import credit, end_attempt, end_job
from llmos.features.jobs.leases import check_open, hold, renew
from llmos.features.jobs.models import Job, JobAttempt, JobLog, JobMetric, Runner
from llmos.features.jobs.results import results_of
from llmos.features.jobs.rules import ENGINE, Ends, Result, accept, agreed, missing_events
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.wire.jobs import (
    Checkpoint,
    EventAnswer,
    EventBatch,
    Heartbeat,
    JobEvent,
    LogLine,
    MetricPoint,
    Phase,
    Progress,
    ResourceSample,
    StateAnswer,
    StateProposal,
)

# Of one job; what comes after is dropped, and the log says so.
MAX_LOG_BYTES = 64 * 1024 * 1024
_FULL = "The log is full: further lines and points are not kept."
_BACK_OFF_S = 60


def take_events(
    db: Session, rt: Runtime, runner: Runner, object_id: str, lease_token: str, batch: EventBatch
) -> EventAnswer:
    """Store what is new of a batch; a batch that begins beyond the next number stores nothing.

    Renews the lease. Raises NotFound, LeaseLost.
    """
    job, attempt = hold(db, runner, object_id, lease_token)
    check_open(runner, job, attempt)
    _take_new(db, job, attempt, batch.first_seq, batch.events)
    return _answer(rt, job, attempt)


def _take_new(db: Session, job: Job, attempt: JobAttempt, first_seq: int, events: Sequence[JobEvent]) -> None:
    skip = attempt.accepted_seq + 1 - first_seq
    if 0 <= skip < len(events):
        _store(db, job, attempt, events[skip:])
        attempt.accepted_seq = first_seq + len(events) - 1


def take_heartbeat(
    db: Session, rt: Runtime, runner: Runner, object_id: str, lease_token: str, beat: Heartbeat
) -> EventAnswer:
    """Renew the lease. Raises NotFound, LeaseLost."""
    job, attempt = hold(db, runner, object_id, lease_token)
    check_open(runner, job, attempt)
    if beat.sample is not None:
        _store(db, job, attempt, [beat.sample])
    return _answer(rt, job, attempt)


def _answer(rt: Runtime, job: Job, attempt: JobAttempt) -> EventAnswer:
    renew(rt, attempt)
    return EventAnswer(
        accepted_seq=attempt.accepted_seq,
        cancel_requested=job.cancel_requested_at is not None,
        lease_expires_at=attempt.lease_expires_at,
        lease_s=rt.settings.job_lease_s,
    )


def _store(db: Session, job: Job, attempt: JobAttempt, events: Sequence[JobEvent]) -> None:
    lines: list[tuple[str, str]] = []
    curves: dict[str, list[tuple[int, float | None]]] = {}
    for event in events:
        if isinstance(event, LogLine):
            lines.append((event.stream, event.text.replace("\0", "\ufffd")))
        elif isinstance(event, MetricPoint):
            value = event.value if math.isfinite(event.value) else None
            curves.setdefault(event.name.replace("\0", ""), []).append((event.step, value))
        elif isinstance(event, ResourceSample):
            _note_sample(job, attempt, event, curves)
        elif isinstance(event, Progress):
            if math.isfinite(event.done) and math.isfinite(event.total):
                job.done, job.total = event.done, event.total
                job.unit = event.unit.replace("\0", "")
        elif isinstance(event, Phase):
            job.phase = event.phase.replace("\0", "")
        elif isinstance(event, Checkpoint):
            _note_checkpoint(job, event)
    _write(db, job, attempt, lines, curves)


def _note_sample(
    job: Job,
    attempt: JobAttempt,
    sample: ResourceSample,
    curves: dict[str, list[tuple[int, float | None]]],
) -> None:
    """Curves of what the machine did, over the seconds since the attempt began."""
    if not all(map(math.isfinite, (sample.cpu, sample.gpu, sample.energy_wh))):
        return
    now = clock.now()
    second = max(int((now - attempt.started_at).total_seconds()), 0)
    job.sample = sample.model_dump(mode="json") | {"at": clock.to_json(now)}
    job.peak_memory_bytes = max(job.peak_memory_bytes, sample.memory_bytes)
    if sample.energy_wh >= attempt.energy_wh:
        job.energy_wh += sample.energy_wh - attempt.energy_wh
        attempt.energy_wh = sample.energy_wh
    curves.setdefault("system/cpu", []).append((second, sample.cpu))
    curves.setdefault("system/memory", []).append((second, float(sample.memory_bytes)))
    if job.gpus:
        curves.setdefault("system/gpu", []).append((second, sample.gpu))


def _note_checkpoint(job: Job, event: Checkpoint) -> None:
    """Only in a repository the job declared: a later attempt reads it with the job's rights."""
    point = event.point
    declared = {(item["type"], item["repo"].lower()) for item in job.spec.get("outputs", ())}
    if (point.type, point.repo.lower()) in declared:
        job.resume_from = point.model_dump(mode="json")


def _write(
    db: Session,
    job: Job,
    attempt: JobAttempt,
    lines: list[tuple[str, str]],
    curves: dict[str, list[tuple[int, float | None]]],
) -> None:
    if job.log_bytes >= MAX_LOG_BYTES:
        return
    if lines:
        text = orjson.dumps(lines).decode()
        job.log_bytes += len(text)
        db.add(JobLog(job_id=job.id, attempt=attempt.number, line_count=len(lines), lines=text))
    for name, points in curves.items():
        text = orjson.dumps(points).decode()
        job.log_bytes += len(text)
        db.add(JobMetric(job_id=job.id, attempt=attempt.number, name=name, points=text))
    if job.log_bytes >= MAX_LOG_BYTES:
        add_note(db, job, attempt.number, _FULL)


def add_note(db: Session, job: Job, attempt: int, text: str) -> None:
    """A line of the hub's own in the job's log."""
    lines = orjson.dumps([("system", text)]).decode()
    db.add(JobLog(job_id=job.id, attempt=attempt, line_count=1, lines=lines))


def take_proposal(
    db: Session, rt: Runtime, runner: Runner, object_id: str, lease_token: str, proposal: StateProposal
) -> StateAnswer:
    """Accept a state a runner proposes, with its last events, or refuse both; again, the same answer.

    Raises NotFound, LeaseLost for a job that somebody else has by now, StateRefused.
    """
    job, attempt = hold(db, runner, object_id, lease_token)
    if attempt.ended_at is not None and attempt.outcome == proposal.state:
        return _state(job)
    check_open(runner, job, attempt)
    ends = accept(
        job.state,
        proposal.state,
        is_cancel_requested=job.cancel_requested_at is not None,
        failures=job.failed_count,
        max_attempts=job.max_attempts,
        is_engine=job.kind == ENGINE,
    )
    if proposal.events and proposal.first_seq > attempt.accepted_seq + 1:
        raise missing_events(job.state, attempt.accepted_seq)
    _take_new(db, job, attempt, proposal.first_seq, proposal.events)
    if ends.ends_attempt:
        _finish(db, rt, job, attempt, proposal, ends)
    else:
        job.state = ends.state
        if ends.state == "running" and attempt.running_at is None:
            attempt.running_at = clock.now()
            job.started_at = job.started_at or attempt.running_at
        renew(rt, attempt)
    return _state(job)


def _state(job: Job) -> StateAnswer:
    return StateAnswer.model_validate(
        {"state": job.state, "cancel_requested": job.cancel_requested_at is not None and not job.is_over}
    )


def _finish(
    db: Session, rt: Runtime, job: Job, attempt: JobAttempt, proposal: StateProposal, ends: Ends
) -> None:
    reason = proposal.reason.replace("\0", "")
    end_attempt(db, job, attempt, proposal.state, exit_code=proposal.exit_code, reason=reason)
    job.started_at = job.started_at or attempt.started_at
    if proposal.state == "succeeded":
        attempt.results = results_of(db, rt, job, attempt, proposal.outputs)
        _count_result(db, job, attempt)
    elif ends.state == "queued":
        job.failed_count += ends.counts_as_failure
        requeue(db, job, attempt, proposal.state, reason, failures=job.failed_count)
    else:
        job.failed_count += ends.counts_as_failure
        end_job(db, job, ends.state, reason=reason, exit_code=proposal.exit_code)


def requeue(db: Session, job: Job, attempt: JobAttempt, why: str, reason: str, *, failures: int = 0) -> None:
    """Back into the queue, after a pause that grows with the failures; the log says why."""
    job.state, job.phase = "queued", ""
    job.available_at = clock.now() + timedelta(seconds=min(2**failures, _BACK_OFF_S) if failures else 0)
    add_note(db, job, attempt.number, f"Attempt {attempt.number} on {attempt.runner_name}: {why}. {reason}")


def _count_result(db: Session, job: Job, attempt: JobAttempt) -> None:
    """Done, unless the job wants several machines to agree and they have not yet."""
    attempts = [attempt] if job.quorum <= 1 else _successes(db, job)
    verdict = agreed(
        [Result(one.runner_owner_id, one.is_trusted, _digests(one)) for one in attempts], job.quorum
    )
    if verdict:
        job.results = attempt.results
        _thank_for_agreeing(db, job, attempt, attempts)
        end_job(db, job, "succeeded", reason="", exit_code=attempt.exit_code)
    elif verdict is None:
        requeue(db, job, attempt, "succeeded", "Another machine has to come to the same result.")
    else:
        end_job(db, job, "failed", reason=lazy("The machines that ran it came to different results."))


def _successes(db: Session, job: Job) -> Sequence[JobAttempt]:
    db.flush()
    return db.scalars(
        select(JobAttempt)
        .where(JobAttempt.job_id == job.id, JobAttempt.outcome == "succeeded")
        .order_by(JobAttempt.number)
    ).all()


def _digests(attempt: JobAttempt) -> tuple[str, ...]:
    return tuple(item["digest"] for item in attempt.results)


def _thank_for_agreeing(db: Session, job: Job, accepted: JobAttempt, attempts: Sequence[JobAttempt]) -> None:
    """Time spent on a result that nobody confirmed is not counted: it may be made up."""
    confirmed = _digests(accepted)
    if job.quorum <= 1 or not confirmed or not all(confirmed):
        return
    for one in attempts:
        is_anothers = one.runner_owner_id != job.creator_id
        if not one.is_trusted and is_anothers and _digests(one) == confirmed:
            credit(db, job, one)
