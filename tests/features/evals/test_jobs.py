"""Evaluations as jobs: asked for, run, checked, signed; and what this instance does not vouch for."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from features.discussions.conftest import People
from features.evals.conftest import BENCHMARK, MODEL, Field
from features.jobs.conftest import FakeRunner, Hub
from kit.model_records import data_file
from llmos.features.evals.evidence import SAMPLES
from llmos.features.evals.models import REPRODUCED, SIGNED, EvalJob
from llmos.features.evals.said import said
from llmos.features.evals.signing import sign_finished
from llmos.features.jobs.models import Runner
from llmos.features.jobs.runners import set_trusted
from llmos.infra.runtime import Runtime

RIGHT = [True] * 9 + [False]


@pytest.fixture
def hub(rt: Runtime, app_client: TestClient, tokens: dict[str, str], place: Field) -> Hub:
    place.push(BENCHMARK, {"data/test.jsonl": data_file(10)})
    return Hub(rt, app_client, tokens)


@pytest.fixture
def people(app_client: TestClient, tokens: dict[str, str]) -> People:
    return People(app_client, tokens)


def ask(hub: Hub, person: str = "ada", **more: Any) -> str:
    body = {"benchmarks": [{"dataset": BENCHMARK, "task": "cloze"}], **more}
    answer = hub.api("POST", f"/api/models/{MODEL}/evaluations", person, json=body)
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["jobs"][0]["id"]
    return found


def run(place: Field, runner: FakeRunner, job_id: str, **changes: Any) -> dict[str, Any]:
    """What a runner does with the job: evaluate, commit the bundle, say so."""
    spec = runner.claim()
    assert spec is not None
    assert spec["job_id"] == job_id
    (output,) = spec["outputs"]
    revisions = {item["type"]: item["revision"] for item in spec["inputs"]}
    facts = {"revision": revisions["model"], "benchmark_revision": revisions["dataset"], "job_id": job_id}
    tamper = changes.pop("tamper", None)
    _, files = place.record(RIGHT, key="none", **facts | changes)
    if tamper:
        name = next(path for path in files if path.endswith(SAMPLES))
        files[name] = tamper(files[name])
    done = place.push(
        MODEL, files, by="ada" if not output["pull_request"] else "grace", pull=output["pull_request"]
    )
    made = [{"repo": MODEL, "type": "model", "revision": done.commit_oid}]
    for state in ("running", "succeeded"):
        answer = runner.state(job_id, state, **({"outputs": made} if state == "succeeded" else {}))
        assert answer.status_code == 200, answer.text
    place.deliver()
    assert sign_finished(place.rt) == 1
    return spec


def outcome(place: Field, hub: Hub, job_id: str) -> EvalJob:
    with place.rt.database.reading() as db:
        found = db.get(EvalJob, hub.job(job_id).id)
        assert found is not None
        return found


def test_what_a_job_found_is_checked_signed_and_on_the_board(place: Field, hub: Hub, people: People) -> None:
    job_id = ask(hub)
    spec = run(place, hub.runner(), job_id)
    assert {item["type"] for item in spec["inputs"]} == {"model", "dataset"}
    assert spec["recipe"]["push"] == {"repo": MODEL, "pull_request": False}
    assert (outcome(place, hub, job_id).state, outcome(place, hub, job_id).reason) == ("signed", "")
    (row,) = place.board()
    assert (row.value, row.evidence, row.filename) == (
        0.9,
        SIGNED,
        ".eval_results/grace--tang-cloze--cloze.yaml",
    )
    (result,) = place.results()
    assert (result.job_object_id, result.party[:5]) == (job_id, "user:")
    assert result.claim.endswith(row.record_id)
    assert job_id in people.read(f"/benchmarks/records/{row.record_id}")
    assert sign_finished(place.rt) == 0


def test_who_may_not_write_offers_a_pull_request(place: Field, hub: Hub) -> None:
    job_id = ask(hub, "grace")
    spec = run(place, hub.runner(), job_id)
    assert spec["outputs"][0]["pull_request"] is True
    (row,) = place.board()
    assert (row.evidence, row.pull_num > 0) == (SIGNED, True)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"benchmark": "grace/other"}, "another benchmark"),
        ({"task_id": "other"}, "another task"),
        ({"benchmark_revision": "0" * 40}, "another commit of the benchmark"),
        ({"revision": "0" * 40}, "another commit of it"),
        ({"files": {"model.safetensors": b"better weights"}}, "model.safetensors"),
        ({"tamper": lambda data: data[:-1] + b"x"}, "samples"),
    ],
)
def test_a_record_of_something_else_is_not_signed(
    place: Field, hub: Hub, changes: dict[str, Any], why: str
) -> None:
    job_id = ask(hub)
    run(place, hub.runner(), job_id, **changes)
    assert outcome(place, hub, job_id).state == "refused"
    assert why in said(outcome(place, hub, job_id).reason)
    assert place.board() == []


def test_rows_the_benchmark_does_not_hold_are_not_signed(place: Field, hub: Hub) -> None:
    place.push(BENCHMARK, {"data/test.jsonl": data_file(5)})
    job_id = ask(hub)
    run(place, hub.runner(), job_id)
    assert "data row" in said(outcome(place, hub, job_id).reason)


def test_a_record_that_lay_there_before_is_not_the_jobs(place: Field, hub: Hub) -> None:
    job_id = ask(hub)
    _, files = place.record(RIGHT, key="none", job_id=job_id)
    place.push(MODEL, files)
    runner = hub.runner()
    assert runner.claim() is not None
    done = place.push(MODEL, {"notes.txt": b"nothing\n"})
    made = [{"repo": MODEL, "type": "model", "revision": done.commit_oid}]
    runner.state(job_id, "running")
    assert runner.state(job_id, "succeeded", outputs=made).status_code == 200
    place.deliver()
    assert sign_finished(place.rt) == 1
    assert "no new record" in outcome(place, hub, job_id).reason


def test_run_again_by_another_machine_reproduces(place: Field, hub: Hub, people: People) -> None:
    first = ask(hub)
    run(place, hub.runner(), first)
    record_id = place.board()[0].record_id
    place_of_job = people.do(f"/benchmarks/records/{record_id}", "grace", action="again")
    again = place_of_job.rpartition("/")[2]
    other = hub.runner("grace")
    with place.rt.database.writing() as db:
        machine = db.query(Runner).filter(Runner.name == other.name).one()
        set_trusted(db, place.people["root-admin"], machine, is_trusted=True)
    run(place, other, again)
    assert {(row.evidence, row.confirmations) for row in place.results()} == {(REPRODUCED, 1)}


def test_ones_own_machine_signs_nothing(place: Field, hub: Hub) -> None:
    job_id = ask(hub)
    run(place, hub.runner("ada", "person", "ada"), job_id)
    assert "no admin vouches" in outcome(place, hub, job_id).reason


def test_the_same_owners_machine_confirms_nothing(place: Field, hub: Hub) -> None:
    machine = hub.runner()
    run(place, machine, ask(hub))
    run(place, machine, ask(hub))
    assert [row.evidence for row in place.results()] == [SIGNED, SIGNED]


def test_the_page_queues_a_job_for_each_benchmark(place: Field, hub: Hub, people: People) -> None:
    page = people.read(f"/{MODEL}/evaluation", "ada")
    assert f'value="{BENCHMARK}:cloze"' in page
    assert "Sign in to evaluate" in people.read(f"/{MODEL}/evaluation")
    where = people.do(f"/{MODEL}/evaluation", "ada", benchmark=f"{BENCHMARK}:cloze", owner="ada", limit="10")
    job = hub.job(where.rpartition("/")[2])
    assert job.spec["recipe"]["evaluation"]["limit"] == 10
    assert job.title == f"{MODEL} · {BENCHMARK} · cloze"
    assert "Under way" in people.read(f"/{MODEL}/evaluation", "ada")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"benchmarks": "all"}, 400),
        ({"benchmarks": []}, 400),
        ({"benchmarks": [{"dataset": "grace/none"}]}, 404),
        ({"benchmarks": [{"dataset": BENCHMARK, "task": "none"}]}, 400),
        ({"benchmarks": [{"dataset": BENCHMARK}], "limit": 0}, 400),
        ({"benchmarks": [{"dataset": BENCHMARK}], "owner": "grace"}, 403),
        ({"benchmarks": [{"dataset": BENCHMARK}], "revision": "gone"}, 404),
    ],
)
def test_bad_requests_are_told_what_is_wrong(hub: Hub, body: dict[str, Any], status: int) -> None:
    answer = hub.api("POST", f"/api/models/{MODEL}/evaluations", json=body)
    assert answer.status_code == status, answer.text
    assert hub.api("POST", f"/api/models/{MODEL}/evaluations", "", json=body).status_code == 401
