"""Claims and leases: one job, one holder, whatever runners and networks do."""

from __future__ import annotations

import base64
import json
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from features.jobs.conftest import MACHINE, FakeRunner, Hub, log
from llmos.core import clock
from llmos.core.errors import LlmosError, TooManyRequests
from llmos.features.accounts.models import User
from llmos.features.auth.models import AccessToken
from llmos.features.jobs.keeping import JobKeeper, expire_leases
from llmos.features.jobs.models import JobAttempt, JobLog, RunnerCredit
from llmos.features.jobs.policy import access_job
from llmos.features.jobs.rules import MAX_LOST
from llmos.features.jobs.service import cancel, repeat
from llmos.features.notifications import job_events as _job_events  # noqa: F401
from llmos.features.notifications.models import Notification
from llmos.infra.queue.outbox import deliver_due


def _let_leases_run_out(hub: Hub) -> None:
    with hub.rt.database.writing() as db:
        for attempt in db.query(JobAttempt).filter(JobAttempt.ended_at.is_(None)):
            attempt.lease_expires_at = clock.now() - timedelta(seconds=1)


def test_a_job_from_the_queue_to_its_end(hub: Hub) -> None:
    job_id = hub.submit(
        command=["python", "-c", "print(1)"], dockerImage="python:3.12", environment={"A": "1"}
    )
    runner = hub.runner()
    spec = runner.claim()
    assert spec is not None
    assert spec["job_id"] == job_id
    assert (spec["kind"], spec["image"], spec["environment"]) == ("command", "python:3.12", {"A": "1"})
    assert spec["network"] is False
    assert spec["token"] == "", "nothing declared, nothing opened"
    assert runner.claim() is None, "it is taken"
    assert hub.job(job_id).state == "preparing"
    assert runner.state(job_id, "running").json()["state"] == "running"
    answer = runner.events(job_id, 0, *log("one", "two"))
    assert answer.json()["accepted_seq"] == 1
    done = runner.state(job_id, "succeeded", exit_code=0)
    assert done.json()["state"] == "succeeded"
    job = hub.job(job_id)
    assert job.is_over
    assert job.exit_code == 0
    assert runner.state(job_id, "succeeded", exit_code=0).json()["state"] == "succeeded", "said twice"


def test_events_are_kept_once(hub: Hub) -> None:
    job_id = hub.submit()
    runner = hub.runner()
    runner.claim()
    assert runner.events(job_id, 0, *log("a", "b")).json()["accepted_seq"] == 1
    assert runner.events(job_id, 0, *log("a", "b")).json()["accepted_seq"] == 1, "the answer was lost"
    assert runner.events(job_id, 1, *log("b", "c")).json()["accepted_seq"] == 2, "an overlap"
    assert runner.events(job_id, 9, *log("z")).json()["accepted_seq"] == 2, "a gap"
    point = {"kind": "metric", "name": "loss", "step": 1, "value": float("nan")}
    assert runner.events(job_id, 3, point, *log("nul \0 in it")).json()["accepted_seq"] == 4
    assert _log_lines(hub) == ["a", "b", "c", "nul \ufffd in it"]


def _log_lines(hub: Hub) -> list[str]:
    with hub.rt.database.reading() as db:
        rows = db.query(JobLog).order_by(JobLog.id)
        return [text for row in rows for _, text in json.loads(row.lines)]


@pytest.mark.parametrize(
    "events",
    [
        [{"kind": "riddle"}],
        [{"kind": "metric", "name": "", "step": 1, "value": 1}],
        [{"kind": "metric", "name": "x", "step": 2**70, "value": 1}],
        [{"kind": "log", "text": "x" * 20_000}],
        "no list",
    ],
)
def test_a_batch_that_makes_no_sense_is_refused_by_name(hub: Hub, events: Any) -> None:
    job_id = hub.submit()
    runner = hub.runner()
    runner.claim()
    answer = runner.about(job_id, "events", {"first_seq": 0, "events": events})
    assert answer.status_code == 422
    assert answer.json()["field"].startswith("events")


def test_a_lost_runner_is_replaced_and_its_result_refused(hub: Hub) -> None:
    job_id = hub.submit()
    slow, quick = hub.runner(), hub.runner("root-admin")
    slow.claim()
    slow.state(job_id, "running")
    _let_leases_run_out(hub)
    assert expire_leases(hub.rt) == 1
    assert hub.job(job_id).state == "queued"
    spec = quick.claim()
    assert spec is not None
    assert spec["attempt"] == 2
    for call in (slow.events(job_id, 0, *log("ghost")), slow.about(job_id, "heartbeat", {})):
        assert call.status_code == 409
        assert call.json()["code"] == "LeaseLost"
    late = slow.state(job_id, "succeeded", exit_code=0)
    assert (late.status_code, late.json()["code"]) == (409, "LeaseLost")
    assert quick.state(job_id, "succeeded", exit_code=0).status_code == 200
    again = slow.state(job_id, "failed", exit_code=1)
    assert again.status_code == 409
    assert hub.job(job_id).state == "succeeded"
    assert "ghost" not in _log_lines(hub)


def test_a_lease_that_ran_out_unnoticed_is_renewed(hub: Hub) -> None:
    """The hub was away, or its worker slow: nobody else has the job, so nothing is lost."""
    job_id = hub.submit()
    runner = hub.runner()
    runner.claim()
    _let_leases_run_out(hub)
    assert runner.about(job_id, "heartbeat", {}).status_code == 200
    assert expire_leases(hub.rt) == 0


def test_right_after_a_start_no_lease_is_taken_away(hub: Hub) -> None:
    job_id = hub.submit()
    hub.runner().claim()
    _let_leases_run_out(hub)
    JobKeeper()(hub.rt)
    assert hub.job(job_id).state == "preparing"


def test_a_stolen_lease_opens_nothing(hub: Hub) -> None:
    job_id, other_id = hub.submit(), hub.submit()
    first, thief = hub.runner(), hub.runner("grace", "person")
    first.claim()
    thief.leases = dict(first.leases)
    assert thief.state(job_id, "succeeded").status_code == 409
    first.claim()
    mixed = first.send(f"jobs/{other_id}/state", {"state": "succeeded"}, first.leases[job_id])
    assert mixed.status_code == 409
    for lease in ("", "x" * 200, "%00"):
        assert first.send(f"jobs/{job_id}/heartbeat", {}, lease).status_code in (409, 422)
    assert first.send("jobs/ffffffffffffffffffffffff/heartbeat", {}, "x").status_code == 404
    assert hub.http.post("/api/runners/claim", json={"name": "x"}).status_code == 401
    assert FakeRunner(hub.http, hub.tokens["ada"]).send("hello", {"name": "x"}).status_code == 401


def test_a_runner_with_a_wrong_clock_keeps_its_job(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the hub's clock says when a lease ends; events may carry any time."""
    job_id = hub.submit()
    runner = hub.runner()
    runner.claim()
    for at in ("1970-01-01T00:00:00Z", "2199-01-01T00:00:00+14:00"):
        line = {"kind": "log", "text": at, "at": at}
        answer = runner.events(job_id, len(_log_lines(hub)), line)
        assert answer.status_code == 200
        assert answer.json()["lease_s"] == hub.rt.settings.job_lease_s
    assert expire_leases(hub.rt) == 0


def test_a_job_that_loses_every_runner_fails_at_last(hub: Hub) -> None:
    job_id = hub.submit()
    runner = hub.runner()
    for _ in range(MAX_LOST):
        assert runner.claim() is not None
        _let_leases_run_out(hub)
        expire_leases(hub.rt)
    job = hub.job(job_id)
    assert (job.state, job.lost_count) == ("failed", MAX_LOST)


def test_failed_attempts_pause_and_are_tried_again(hub: Hub) -> None:
    job_id = hub.submit(attempts=2)
    runner = hub.runner()
    runner.claim()
    assert runner.state(job_id, "failed", exit_code=3, reason="no luck").json()["state"] == "queued"
    assert runner.claim() is None, "after a pause"
    hub.ready([job_id])
    spec = runner.claim()
    assert spec is not None
    assert runner.events(job_id, 0, *log("again")).json()["accepted_seq"] == 0, "numbers begin anew"
    assert runner.state(job_id, "failed", exit_code=3).json()["state"] == "failed"
    assert hub.job(job_id).exit_code == 3


def test_a_released_job_goes_on_from_its_checkpoint(hub: Hub) -> None:
    hub.api("POST", "/api/repos/create", json={"name": "tiny-llm", "type": "model"})
    job_id = hub.submit(outputs=[{"repo": "ada/tiny-llm"}])
    runner = hub.runner()
    runner.claim()
    point = {"repo": "ada/tiny-llm", "revision": "ab" * 20, "path": "checkpoints/7", "step": 7}
    elsewhere = point | {"repo": "grace/other"}
    runner.events(
        job_id, 0, {"kind": "checkpoint", "point": point}, {"kind": "checkpoint", "point": elsewhere}
    )
    assert runner.state(job_id, "released").json()["state"] == "queued"
    spec = runner.claim()
    assert spec is not None
    assert spec["resume_from"]["step"] == 7
    assert spec["resume_from"]["repo"] == "ada/tiny-llm", "only where the job may write"


def test_cancelling(hub: Hub) -> None:
    queued, held = hub.submit(), hub.submit(priority=5)
    runner = hub.runner()
    assert runner.claim()["job_id"] == held  # type: ignore[index]
    ada, grace = hub.actor("ada"), hub.actor("grace")
    for job_id in (queued, held):
        with hub.rt.database.writing() as db, pytest.raises(LlmosError):
            cancel(db, grace, access_job(db, ada, "ada", job_id))
        with hub.rt.database.writing() as db:
            cancel(db, ada, access_job(db, ada, "ada", job_id))
    assert hub.job(queued).state == "canceled"
    assert hub.job(held).state == "preparing"
    assert runner.about(held, "heartbeat", {}).json()["cancel_requested"] is True
    assert runner.state(held, "canceled").json()["state"] == "canceled"
    with hub.rt.database.writing() as db, pytest.raises(LlmosError) as caught:
        cancel(db, ada, access_job(db, ada, "ada", held))
    assert caught.value.status == 409


def test_a_cancelled_job_of_a_lost_runner_is_over(hub: Hub) -> None:
    job_id = hub.submit()
    hub.runner().claim()
    ada = hub.actor("ada")
    with hub.rt.database.writing() as db:
        cancel(db, ada, access_job(db, ada, "ada", job_id))
    _let_leases_run_out(hub)
    expire_leases(hub.rt)
    assert hub.job(job_id).state == "canceled"


def test_priority_then_turns_between_owners(hub: Hub) -> None:
    mine = [hub.submit() for _ in range(4)]
    theirs = [hub.submit("grace") for _ in range(2)]
    urgent = hub.submit("grace", priority=3)
    runner = hub.runner()
    order = []
    while (spec := runner.claim()) is not None:
        order.append(spec["job_id"])
        runner.state(spec["job_id"], "succeeded")
    assert order == [urgent, mine[0], theirs[0], mine[1], theirs[1], mine[2], mine[3]]


def test_an_owner_with_jobs_running_waits_for_the_others(hub: Hub) -> None:
    for _ in range(3):
        hub.submit()
    runner = hub.runner()
    runner.claim()
    runner.claim()
    other = hub.submit("grace")
    spec = runner.claim()
    assert spec is not None
    assert spec["job_id"] == other


def test_limits_of_an_owner(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.rt.settings, "jobs_waiting", 2)
    monkeypatch.setattr(hub.rt.settings, "jobs_running", 1)
    hub.submit()
    hub.submit()
    with pytest.raises(TooManyRequests):
        hub.submit()
    runner = hub.runner()
    assert runner.claim() is not None
    assert runner.claim() is None


def test_needs(hub: Hub) -> None:
    train = hub.submit()
    evaluate = hub.submit(dependsOn=[train])
    publish = hub.submit(dependsOn=[evaluate])
    assert hub.job(evaluate).state == "waiting"
    runner = hub.runner()
    assert runner.claim()["job_id"] == train  # type: ignore[index]
    assert runner.claim() is None
    runner.state(train, "succeeded")
    assert runner.claim()["job_id"] == evaluate  # type: ignore[index]
    runner.state(evaluate, "failed", exit_code=1)
    assert hub.job(publish).state == "canceled"
    with pytest.raises(LlmosError):
        hub.submit("grace", dependsOn=[train])


def test_what_a_machine_has(hub: Hub) -> None:
    big, image = hub.submit(flavor="cpu-xl"), hub.submit(dockerImage="pytorch/pytorch:2.6")
    gpu, labelled = hub.submit(flavor="h200"), hub.submit(runsOn={"site": "lab"})
    runner = hub.runner()
    assert runner.claim() is None
    assert runner.claim(kinds=["recipe"], labels={"site": "lab"}) is None
    assert runner.claim(labels={"site": "lab"})["job_id"] == labelled  # type: ignore[index]
    assert runner.claim(executors=["podman"])["job_id"] == image  # type: ignore[index]
    large = MACHINE | {"cores": 64, "memory_bytes": 2**40}
    assert runner.claim(resources=large, free=MACHINE) is None
    assert runner.claim(resources=large)["job_id"] == big  # type: ignore[index]
    one = large | {"gpus": 1, "gpu_memory_bytes": 150 * 1024**3}
    assert runner.claim(resources=one)["job_id"] == gpu  # type: ignore[index]
    roomy = hub.submit(diskBytes=MACHINE["disk_bytes"])
    assert runner.claim(free=MACHINE | {"disk_bytes": MACHINE["disk_bytes"] - 1}) is None
    spec = runner.claim()
    assert spec is not None
    assert (spec["job_id"], spec["resources"]["disk_bytes"]) == (roomy, MACHINE["disk_bytes"])


def test_scopes_of_runners(hub: Hub) -> None:
    hub.api("POST", "/api/repos/create", json={"name": "tiny-llm", "type": "model"})
    plain = hub.submit()
    writes = hub.submit(outputs=[{"repo": "ada/tiny-llm"}])
    theirs = hub.submit("lab", "ada")
    assert hub.runner("grace", "person").claim() is None
    assert hub.runner("ada", "organization", "lab").claim()["job_id"] == theirs  # type: ignore[index]
    of_repo = hub.runner("ada", "repository", "model:ada/tiny-llm")
    assert of_repo.claim()["job_id"] == writes  # type: ignore[index]
    assert of_repo.claim() is None
    assert hub.runner("ada", "person").claim()["job_id"] == plain  # type: ignore[index]
    for scope, target in (("organization", "lab"), ("repository", "model:ada/tiny-llm"), ("moon", "")):
        with pytest.raises(LlmosError):
            hub.runner("grace", scope, target)


def test_an_untrusted_machine_sees_nothing_private(hub: Hub) -> None:
    """A lent machine takes recipes on public inputs; what it makes is offered as a pull request."""
    for name, kind, private in (("poems", "dataset", False), ("diary", "dataset", True)):
        body = {"name": name, "type": kind, "private": private}
        assert hub.api("POST", "/api/repos/create", json=body).status_code == 200
    hub.api("POST", "/api/repos/create", json={"name": "tiny-llm", "type": "model"})
    hub.submit(command=["env"])
    hub.submit(recipe={"a": 1}, secrets={"KEY": "s3cret"})
    diary = [{"type": "dataset", "source": "ada/diary", "mountPath": "/data"}]
    hub.submit(recipe={"a": 1}, volumes=diary)
    lent = hub.runner("grace")
    assert lent.claim() is None
    poems = [{"type": "dataset", "source": "ada/poems", "mountPath": "/data"}]
    outputs = [{"repo": "ada/tiny-llm", "path": "out"}]
    labels = {"network": "internet"}
    open_id = hub.submit(recipe={"a": 1}, volumes=poems, outputs=outputs, labels=labels)
    spec = lent.claim()
    assert spec is not None
    assert spec["job_id"] == open_id
    assert (spec["secrets"], spec["network"]) == ({}, False)
    assert spec["outputs"][0]["pull_request"] is True
    assert len(spec["inputs"][0]["revision"]) == 40
    with hub.rt.database.reading() as db:
        token = db.query(AccessToken).filter(AccessToken.name.startswith("job ")).one()
        scopes = {scope["target"]: scope["verbs"] for scope in token.scopes}
    assert scopes == {
        "dataset:ada/poems": ["repo.read"],
        "model:ada/tiny-llm": ["discussion.write", "repo.read"],
    }
    commit = (
        '{"key":"header","value":{"summary":"result"}}\n'
        '{"key":"file","value":{"path":"a.txt","content":"aGk=","encoding":"base64"}}'
    )
    headers = {"Authorization": f"Bearer {spec['token']}", "Content-Type": "application/x-ndjson"}
    direct = hub.http.post("/api/models/ada/tiny-llm/commit/main", content=commit, headers=headers)
    assert direct.status_code == 403
    offered = hub.http.post(
        "/api/models/ada/tiny-llm/commit/main?create_pr=1", content=commit, headers=headers
    )
    assert offered.status_code == 200, offered.text
    lent.state(open_id, "succeeded")
    gone = hub.http.get("/api/models/ada/tiny-llm", headers=headers)
    assert gone.status_code == 401, "the token ends with the job"


@pytest.mark.parametrize("name", ["PYTHONPATH", "LD_PRELOAD", "path", "BASH_ENV", "LLMOS_INPUTS"])
@pytest.mark.parametrize("field", ["environment", "secrets"])
def test_a_training_may_not_say_what_programs_load(hub: Hub, field: str, name: str) -> None:
    with pytest.raises(LlmosError, match=name) as caught:
        hub.submit(recipe={"a": 1}, **{field: {name: "/data"}})
    assert (caught.value.status, caught.value.data["field"]) == (400, field)
    assert hub.submit(**{field: {name: "/data"}}), "a command is a program anyway"


def test_what_is_more_than_a_recipe_is_not_lent_out(hub: Hub) -> None:
    """Neither variables nor files where programs are looked for reach a machine nobody vouches for."""
    hub.api("POST", "/api/repos/create", json={"name": "poems", "type": "dataset"})
    poems = {"type": "dataset", "source": "ada/poems"}
    with_variable = hub.submit(recipe={"a": 1}, environment={"NICE_WORD": "1"})
    beside_programs = hub.submit(recipe={"a": 1}, volumes=[poems | {"mountPath": "/job/torch"}])
    lent = hub.runner("grace")
    assert lent.claim() is None
    for old in (with_variable, beside_programs):
        hub.change(old, is_open=True)
        assert lent.claim() is None, "queued by an earlier version"
    trusted = hub.runner()
    assert trusted.claim()["environment"] == {"NICE_WORD": "1"}  # type: ignore[index]


def test_an_input_that_became_private_is_not_handed_out(hub: Hub) -> None:
    hub.api("POST", "/api/repos/create", json={"name": "poems", "type": "dataset"})
    poems = [{"type": "dataset", "source": "ada/poems", "mountPath": "/data"}]
    hub.submit(recipe={"a": 1}, volumes=poems)
    hub.api("PUT", "/api/datasets/ada/poems/settings", json={"private": True})
    assert hub.runner("grace").claim() is None


def _offer(hub: Hub, spec: dict[str, Any], **files: str) -> dict[str, Any]:
    """What a lent machine publishes, with the job's own token; the output as its runner reports it."""
    lines: list[dict[str, Any]] = [{"key": "header", "value": {"summary": "result"}}]
    for name, text in files.items():
        content = base64.b64encode(text.encode()).decode()
        value = {"path": name.replace("_", "."), "content": content, "encoding": "base64"}
        lines.append({"key": "file", "value": value})
    answer = hub.http.post(
        "/api/models/ada/tiny-llm/commit/main?create_pr=1",
        content="\n".join(map(json.dumps, lines)),
        headers={"Authorization": f"Bearer {spec['token']}", "Content-Type": "application/x-ndjson"},
    )
    assert answer.status_code == 200, answer.text
    return {"repo": "ada/tiny-llm", "revision": answer.json()["commitOid"], "digest": "as it says"}


@pytest.fixture
def wanted_twice(hub: Hub) -> str:
    hub.api("POST", "/api/repos/create", json={"name": "tiny-llm", "type": "model"})
    return hub.submit(recipe={"a": 1}, outputs=[{"repo": "ada/tiny-llm"}], quorum=2)


def test_a_quorum_of_machines_of_different_people(hub: Hub, wanted_twice: str) -> None:
    """They agree on what counts: times in the card and the metrics may differ."""
    first, second = hub.runner("grace"), hub.runner("ada")
    spec = first.claim()
    assert spec is not None
    made = _offer(hub, spec, config_json="{}", README_md="1 s", metrics_json="1")
    assert first.state(wanted_twice, "succeeded", outputs=[made]).json()["state"] == "queued"
    assert first.claim() is None, "no second vote"
    assert _credit(hub) == (0, 0), "nobody has confirmed it"
    spec = second.claim()
    assert spec is not None
    made = _offer(hub, spec, config_json="{}", README_md="2 s", metrics_json="2")
    foreign = {"repo": "grace/other", "revision": "2" * 40, "digest": "x"}
    answer = second.state(wanted_twice, "succeeded", outputs=[made, foreign])
    assert answer.json()["state"] == "succeeded"
    (result,) = hub.job(wanted_twice).results
    assert (result["repo"], result["revision"]) == ("ada/tiny-llm", made["revision"])
    assert _credit(hub)[1] == 1, "the first one's; the second ran a job of its own"


@pytest.mark.parametrize("forgery", ["other content", "a file more", "the commit of the first", "no commit"])
def test_a_quorum_is_of_what_was_committed_not_of_what_is_said(
    hub: Hub, wanted_twice: str, forgery: str
) -> None:
    first, forger = hub.runner("grace"), hub.runner("ada")
    spec = first.claim()
    assert spec is not None
    honest = _offer(hub, spec, config_json="{}")
    first.state(wanted_twice, "succeeded", outputs=[honest])
    spec = forger.claim()
    assert spec is not None
    forged = {
        "other content": lambda: _offer(hub, spec, config_json='{"evil": 1}'),
        "a file more": lambda: _offer(hub, spec, config_json="{}", modeling_py="import os"),
        "the commit of the first": lambda: honest,
        "no commit": lambda: honest | {"revision": honest["revision"][:12]},
    }[forgery]()
    assert forger.state(wanted_twice, "succeeded", outputs=[forged]).json()["state"] == "queued"
    assert hub.job(wanted_twice).results == []


def test_secrets_reach_the_job_and_nobody_else(hub: Hub) -> None:
    job_id = hub.submit(secrets={"KEY": "s3cret-value"}, labels={"name": "with-secret"})
    job = hub.job(job_id)
    assert "s3cret-value" not in str(job.spec) + str(job.sealed_secrets)
    spec = hub.runner().claim()
    assert spec is not None
    assert spec["secrets"] == {"KEY": "s3cret-value"}
    ada = hub.actor("ada")
    with hub.rt.database.writing() as db:
        copy = repeat(db, hub.rt, ada, access_job(db, ada, "ada", job_id))
    assert hub.runner().claim()["secrets"] == {"KEY": "s3cret-value"}  # type: ignore[index]
    assert copy.copied_from == job_id


def test_time_given_to_others_is_credited(hub: Hub) -> None:
    own, other = hub.submit("root-admin"), hub.submit("ada")
    runner = hub.runner("root-admin")
    for _ in (own, other):
        spec = runner.claim()
        assert spec is not None
        runner.state(spec["job_id"], "succeeded")
    with hub.rt.database.reading() as db:
        credit = db.query(RunnerCredit).one()
    assert credit.job_count == 1
    assert credit.seconds > 0
    assert "of machine time to others" in hub.http.get("/root-admin", headers={"accept": "text/html"}).text
    assert "of machine time to others" not in hub.http.get("/ada", headers={"accept": "text/html"}).text


def _credit(hub: Hub) -> tuple[float, int]:
    with hub.rt.database.reading() as db:
        rows = db.query(RunnerCredit).all()
        return sum(row.seconds for row in rows), sum(row.job_count for row in rows)


@pytest.mark.parametrize(
    ("kind", "states", "counts"),
    [
        ("command", ["running", "failed"], True),
        ("command", ["running", "timed_out"], True),
        ("command", ["failed"], False),
        ("command", ["running", "released"], False),
        ("command", ["running", "lost"], False),
        ("engine", ["running", "released"], True),
        ("engine", ["running", "canceled"], True),
        ("engine", ["running", "lost"], False),
    ],
)
def test_time_counts_that_a_job_could_use(hub: Hub, kind: str, states: list[str], counts: bool) -> None:
    job_id, runner = hub.submit(), hub.runner()
    runner.claim()
    hub.change(job_id, kind=kind, cancel_requested_at=clock.now() if "canceled" in states else None)
    for state in states:
        if state == "lost":
            _let_leases_run_out(hub)
            expire_leases(hub.rt)
        else:
            assert runner.state(job_id, state).status_code == 200
    seconds, jobs = _credit(hub)
    assert (seconds > 0, jobs) == (counts, int(counts))


def test_a_job_tried_again_is_one_job(hub: Hub) -> None:
    job_id, runner = hub.submit(attempts=2), hub.runner()
    for _ in range(2):
        runner.claim()
        runner.state(job_id, "running")
        runner.state(job_id, "failed")
        hub.ready([job_id])
    assert hub.job(job_id).attempt == 2
    assert _credit(hub)[1] == 1


def test_a_runner_that_keeps_no_time_is_stopped_by_the_hub(hub: Hub) -> None:
    """Ten minutes after it should have stopped the job itself, though it speaks of it still."""
    job_id, runner = hub.submit(timeoutSeconds=60, attempts=3), hub.runner()
    runner.claim()
    runner.state(job_id, "running")
    for late, state in ((timedelta(seconds=655), "running"), (timedelta(seconds=665), "timed_out")):
        with hub.rt.database.writing() as db:
            attempt = db.query(JobAttempt).one()
            attempt.started_at = attempt.running_at = clock.now() - late
        assert runner.about(job_id, "heartbeat", {}).status_code == 200, "the lease is not what ends it"
        expire_leases(hub.rt)
        assert hub.job(job_id).state == state
    assert hub.job(job_id).is_over, "and not tried again"
    late_words = runner.state(job_id, "succeeded", exit_code=0)
    assert (late_words.status_code, late_words.json()["code"]) == (409, "LeaseLost")
    assert _credit(hub)[0] == pytest.approx(60), "no more than the job may take"


def test_draining_and_removing(hub: Hub) -> None:
    job_id = hub.submit()
    runner = hub.runner()
    assert runner.send("hello", {"name": "x"}).json()["draining"] is False
    assert runner.send("drain", {}).json()["draining"] is True
    assert runner.claim() is None
    runner.send("drain", {"draining": False})
    assert runner.claim()["job_id"] == job_id  # type: ignore[index]


def test_two_runners_racing(hub: Hub) -> None:
    """Both look at the same queue at the same time; each job is given out once."""
    jobs = {hub.submit() for _ in range(12)}
    runners = [hub.runner(), hub.runner()]
    got: list[str] = []
    gate = threading.Barrier(2)

    def work(runner: FakeRunner) -> None:
        gate.wait()
        while (spec := runner.claim()) is not None:
            got.append(spec["job_id"])

    threads = [threading.Thread(target=work, args=(runner,)) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A runner may leave while the other holds the last lock: nothing is doubled, nothing is lost.
    while (spec := runners[0].claim()) is not None:
        got.append(spec["job_id"])
    assert sorted(got) == sorted(jobs)


def test_a_long_poll_wakes_up_for_a_new_job(hub: Hub) -> None:
    runner = hub.runner()
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(runner.claim(wait_s=10)))
    began = time.monotonic()
    thread.start()
    job_id = hub.submit()
    thread.join()
    assert found[0]["job_id"] == job_id
    assert time.monotonic() - began < 5


def test_the_end_of_a_training_is_told(hub: Hub) -> None:
    training, trivial = hub.submit(recipe={"name": "tiny"}), hub.submit()
    runner = hub.runner()
    for job_id in (training, trivial):
        runner.claim()
        runner.state(job_id, "succeeded")
    while deliver_due(hub.rt.database):
        pass
    with hub.rt.database.reading() as db:
        told = db.query(Notification).one()
    assert (told.kind, told.title, told.href) == ("job.succeeded", "tiny", f"/jobs/ada/{training}")


def test_jobs_of_a_suspended_person_do_not_run(hub: Hub) -> None:
    job_id = hub.submit()
    with hub.rt.database.writing() as db:
        db.query(User).filter(User.id == hub.actor("ada").user_id).update({User.sanction: "suspend"})
    assert hub.runner().claim() is None
    assert hub.job(job_id).state == "canceled"
