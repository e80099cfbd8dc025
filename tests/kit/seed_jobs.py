"""Training runs to look at: two that are over, one under way; and a model with its event files and recipe."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from kit.events import event_file
from kit.seed import World
from llmos.core import clock
from llmos.features.accounts.policy import get_namespace
from llmos.features.auth.credentials import actor_for_user
from llmos.features.jobs.models import Job, JobLog, JobMetric
from llmos.features.jobs.requests import parse_request
from llmos.features.jobs.service import submit
from llmos.features.quickstart.models import QuickstartRun
from llmos.infra.runtime import Runtime

CHAT = "ada/tiny-llm-chat"
RECIPE = """version: 1
name: tiny-chat
objective: sft
data:
  sources:
  - dataset: grace/dialogues
model:
  base: ada/tiny-llm
training:
  max_minutes: 4
push:
  repo: ada/tiny-llm-chat
"""
# Name, seed, minutes, learning rate, how fast it learns, state.
RUNS = (
    ("speeches", 7, 4, 0.0005, 30, "succeeded"),
    ("speeches and poems", 7, 8, 0.001, 18, "succeeded"),
    ("poems, longer rows", 11, 8, 0.001, 24, "running"),
)


def falling(pace: float, count: int = 60, noise: float = 0.06) -> list[tuple[int, float]]:
    """A loss over steps of ten, as it may be."""
    return [
        (10 * step, 2.2 + 4.4 * math.exp(-step / pace) + noise * math.sin(7.3 * step * pace))
        for step in range(1, count + 1)
    ]


def curves_of(pace: float, rate: float) -> dict[str, list[tuple[int, float]]]:
    loss = falling(pace)
    held_out = [(step, value + 0.15) for step, value in falling(pace, noise=0)[9::10]]
    rates = [(step, rate * (1 - step / 700)) for step, _ in loss]
    return {
        "train/loss": loss,
        "train/learning_rate": rates,
        "eval/loss": held_out,
        "eval/perplexity": [(step, math.exp(value)) for step, value in held_out],
    }


def seed_jobs(rt: Runtime, world: World) -> None:
    """Runs of ada, all public; what they say lies in the tables, as a runner would have reported it."""
    files: dict[str, bytes | str] = {"recipe.yaml": RECIPE}
    for number, (name, pace) in enumerate((("first", 30), ("second", 18))):
        path = f"runs/{name}/events.out.tfevents.173200000{number}.box.1.0"
        files[path] = event_file(curves_of(pace, 0.001))
    world.put(CHAT, "model", "Keep the recipe and the curves", files)
    with rt.database.writing() as db:
        owner = get_namespace(db, "ada")
        assert owner is not None
        assert owner.user is not None
        actor = actor_for_user(db, owner.user)
        for name, seed, minutes, rate, pace, state in RUNS:
            recipe: dict[str, Any] = {
                "version": 1,
                "name": name,
                "objective": "clm",
                "data": {"sources": [{"dataset": "grace/news-zh"}]},
                "model": {"preset": "tiny"},
                "optimiser": {"learning_rate": rate},
                "training": {"max_minutes": minutes, "seed": seed},
            }
            job = submit(db, rt, actor, owner, parse_request({"recipe": recipe, "public": True}))
            _said(db, job, curves_of(pace, rate))
            _moved(job, state, minutes)
    seed_quickstart(rt)


def _said(db: Session, job: Job, curves: dict[str, list[tuple[int, float]]]) -> None:
    for name, points in curves.items():
        db.add(JobMetric(job_id=job.id, attempt=1, name=name, points=orjson.dumps(points).decode()))
    lines = [
        ["stdout", "== train"],
        *(["stdout", f"step {step}: loss {loss:.3f}"] for step, loss in falling(9)),
    ]
    db.add(JobLog(job_id=job.id, attempt=1, line_count=len(lines), lines=orjson.dumps(lines).decode()))


def _moved(job: Job, state: str, minutes: float) -> None:
    now = clock.now()
    job.state, job.attempt, job.started_at = state, 1, now - timedelta(minutes=minutes, seconds=12)
    job.phase, job.done, job.total, job.unit = "train", 62, 100, "%"
    job.peak_memory_bytes, job.energy_wh = 612_000_000, 0.4 * minutes
    if state != "running":
        job.finished_at, job.exit_code = now, 0


def seed_quickstart(rt: Runtime) -> None:
    """A run of the quick start that is over, of ada's model and the newest of her trainings."""
    with rt.database.writing() as db:
        ada = get_namespace(db, "ada")
        assert ada is not None
        wanted = select(Job.id).where(Job.namespace_id == ada.id, Job.state == "succeeded")
        answers = [{"asked": "The people of", "text": " the sea.", "tokens": 4, "seconds": 0.3}]
        run = QuickstartRun(user_id=ada.id, namespace_id=ada.id, path="train", state="done", step="done")
        run.model_name, run.finished_at = "ada/tiny-llm", clock.now()
        run.options = {"languages": "both", "max_minutes": 2.0, "is_private": False}
        run.found = {"evaluations": [], "answers": answers, "thread_num": 1}
        run.train_job_id = db.scalar(wanted.order_by(Job.id.desc()).limit(1))
        db.add(run)
