"""Telling people that a job of theirs has ended: trainings, and whatever took long."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from sqlalchemy.orm import Session

from llmos.features.jobs.models import Job
from llmos.features.jobs.rules import ENGINE
from llmos.features.notifications import reasons
from llmos.features.notifications.service import News, notify
from llmos.infra.queue.outbox import on

# A shorter command is waited for at the terminal it was typed in.
LONG_S = 120.0


@on("JobFinished")
def tell_of_job(db: Session, payload: dict[str, Any]) -> None:
    job = db.get(Job, payload["job_id"])
    if job is None or job.finished_at is None or job.state == "canceled" or job.kind == ENGINE:
        return
    ran_s = (job.finished_at - (job.started_at or job.finished_at)).total_seconds()
    if job.kind != "recipe" and ran_s < LONG_S:
        return
    kind = "job.succeeded" if job.state == "succeeded" else "job.failed"
    news = News(
        kind=kind,
        event_key=payload["event_key"],
        title=job.title,
        href=f"/jobs/{quote(job.namespace.name)}/{job.object_id}",
    )
    notify(db, {job.creator_id: reasons.JOB}, news)
