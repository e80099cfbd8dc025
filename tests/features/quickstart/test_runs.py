"""Runs of the quick start: who may begin one, what becomes of its jobs, what is told of it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

import llmos.app.tasks  # noqa: F401  # fills the slots and registers handlers
from llmos.features.jobs.ending import end_job
from llmos.features.jobs.models import Job
from llmos.features.quickstart.advance import advance
from llmos.features.quickstart.models import QuickstartRun
from llmos.infra.runtime import Runtime


@pytest.fixture
def api(app_client: TestClient, tokens: dict[str, str]) -> Any:
    def call(path: str, body: dict[str, Any] | None = None, who: str = "ada") -> Any:
        headers = {"Authorization": f"Bearer {tokens[who]}"} if who else {}
        if body is None:
            return app_client.get(path, headers=headers)
        return app_client.post(path, headers=headers, json=body)

    return call


def go_on(rt: Runtime, object_id: str) -> None:
    with rt.database.reading() as db:
        run_id = db.scalar(select(QuickstartRun.id).where(QuickstartRun.object_id == object_id))
    assert run_id is not None
    advance(rt, run_id)


def end_training(rt: Runtime, object_id: str, state: str, reason: str = "") -> None:
    with rt.database.writing() as db:
        run = db.scalars(select(QuickstartRun).where(QuickstartRun.object_id == object_id)).unique().one()
        job = db.get(Job, run.train_job_id)
        assert job is not None
        end_job(db, job, state, reason=reason)


@pytest.mark.parametrize(
    ("body", "who", "status", "words"),
    [
        ({}, "", 401, ""),
        ({"lang": "fr"}, "ada", 400, "lang must be"),
        ({"max_minutes": "2"}, "ada", 400, "max_minutes must be a number"),
        ({"max_minutes": 1e9}, "ada", 400, "max_minutes"),
        ({"path": "magic"}, "ada", 400, "path must be"),
        ({"path": "finetune"}, "ada", 400, "llmos demo smollm2"),
        ({"name": "grace/mine"}, "ada", 403, ""),
        ({"name": 5}, "ada", 400, "name must be a text"),
    ],
)
def test_what_is_refused(api: Any, body: dict[str, Any], who: str, status: int, words: str) -> None:
    answer = api("/api/quickstart", body, who)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]


def test_a_run_trains_fails_and_goes_on(rt: Runtime, api: Any) -> None:
    run = api("/api/quickstart", {"max_minutes": 0.5, "lang": "zh"}).json()
    assert run["model"]["name"] == "ada/first-llm"
    assert [step["state"] for step in run["steps"]] == ["running"] + ["waiting"] * 7
    again = api("/api/quickstart", {})
    assert again.status_code == 409
    assert "under way" in again.json()["error"]
    assert api(f"/api/quickstart/{run['id']}", who="grace").status_code == 404
    assert api(f"/api/quickstart/{run['id']}/retry", {}).status_code == 409

    go_on(rt, run["id"])
    go_on(rt, run["id"])
    with rt.database.reading() as db:
        [job] = db.scalars(select(Job)).unique()
        recipe = job.spec["recipe"]
    assert recipe["data"]["sources"] == [{"files": ["sample:chinese.txt"]}]
    assert recipe["training"]["max_minutes"] == 0.5
    assert recipe["push"] == {"repo": "ada/first-llm", "private": False}

    end_training(rt, run["id"], "failed", "out of memory")
    go_on(rt, run["id"])
    failed = api(f"/api/quickstart/{run['id']}").json()
    assert (failed["state"], failed["error"]) == ("failed", "out of memory")
    assert failed["steps"][0]["state"] == "failed"

    assert api(f"/api/quickstart/{run['id']}/retry", {}).json()["state"] == "running"
    go_on(rt, run["id"])
    with rt.database.reading() as db:
        assert len(list(db.scalars(select(Job)).unique())) == 2
    end_training(rt, run["id"], "succeeded")
    go_on(rt, run["id"])
    told = api(f"/api/quickstart/{run['id']}").json()
    states = {step["key"]: step["state"] for step in told["steps"]}
    assert states["push"] == "done"
    assert states["evaluate"] == "running"
    go_on(rt, run["id"])
    told = api(f"/api/quickstart/{run['id']}").json()
    assert [step["state"] for step in told["steps"] if step["key"] in ("evaluate", "board")] == [
        "skipped",
        "running",
    ], "an instance without benchmarks says so"


def test_a_run_is_stopped_with_its_training(rt: Runtime, api: Any) -> None:
    run = api("/api/quickstart", {"name": "mine", "private": True}).json()
    go_on(rt, run["id"])
    assert api(f"/api/quickstart/{run['id']}/stop", {}, "grace").status_code == 404
    stopped = api(f"/api/quickstart/{run['id']}/stop", {}).json()
    assert stopped["state"] == "failed"
    assert "ada" in stopped["error"]
    with rt.database.reading() as db:
        [job] = db.scalars(select(Job)).unique()
        assert job.state == "canceled"
        assert job.visibility == "private"
    taken = api("/api/quickstart", {"name": "ada/mine"})
    assert taken.status_code == 409
    assert "exists already" in taken.json()["error"]
    assert api("/api/quickstart", {}).json()["model"]["name"] == "ada/first-llm"
