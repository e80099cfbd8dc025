"""Jobs by the official client and its command line; the runner's side is spoken in plain HTTP."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import HfApi, JobInfo, Volume
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, JobNotFoundError

from kit.server import LiveServer
from llmos.core.clock import now
from llmos.features.accounts.policy import get_namespace
from llmos.features.auth.credentials import actor_for_user
from llmos.features.jobs.keeping import JobKeeper
from llmos.features.jobs.models import Schedule
from llmos.features.jobs.runners import register_runner
from llmos.infra.runtime import Runtime

_names = itertools.count(1)


class PlainRunner:
    """What a runner says, without a runner: it takes ada's jobs alone."""

    def __init__(self, url: str, token: str) -> None:
        self.http = httpx.Client(base_url=f"{url}/api/runners", headers={"Authorization": f"Bearer {token}"})
        self.lease = ""

    def claim(self, job_id: str) -> dict[str, Any]:
        machine = {"cores": 64, "memory_bytes": 2**40, "gpus": 1, "gpu_memory_bytes": 2**38}
        hello = {"name": "plain", "resources": machine, "executors": ["podman"], "wait_s": 10}
        answer = self.http.post("/claim", json=hello, timeout=30)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["spec"]["job_id"] == job_id
        self.lease = found["lease"]["lease_token"]
        self.tell(job_id, "state", {"state": "running"})
        spec: dict[str, Any] = found["spec"]
        return spec

    def tell(self, job_id: str, what: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.http.post(f"/jobs/{job_id}/{what}", json=body, headers={"X-LLMOS-Lease": self.lease})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def say(self, job_id: str, first_seq: int, *lines: str) -> None:
        events = [{"kind": "log", "text": line} for line in lines]
        self.tell(job_id, "events", {"first_seq": first_seq, "events": events})

    def end(self, job_id: str, state: str = "succeeded", **more: Any) -> None:
        self.tell(job_id, "state", {"state": state} | more)


@pytest.fixture
def runner(server: LiveServer, server_rt: Runtime) -> Iterator[PlainRunner]:
    with server_rt.database.writing() as db:
        namespace = get_namespace(db, "ada")
        assert namespace is not None
        assert namespace.user is not None
        actor = actor_for_user(db, namespace.user)
        made, token = register_runner(db, actor, name=f"plain-{next(_names)}", scope="person")
    found = PlainRunner(server.url, token)
    yield found
    found.http.close()
    with server_rt.database.writing() as db:
        db.merge(made).revoked_at = now()


@pytest.fixture
def run(ada: HfApi) -> Iterator[Callable[..., JobInfo]]:
    """Start a job of ada's; whatever is left at the end is cancelled."""
    started: list[str] = []

    def start(*command: str, **options: Any) -> JobInfo:
        job = ada.run_job(image="python:3.12", command=list(command or ("true",)), **options)
        started.append(job.id)
        return job

    yield start
    for job_id in started:
        if ada.inspect_job(job_id=job_id).status.stage in ("SCHEDULING", "RUNNING"):
            ada.cancel_job(job_id=job_id)


Run = Callable[..., JobInfo]


def test_a_job_from_start_to_end(ada: HfApi, run: Run, runner: PlainRunner) -> None:
    job = run(
        "python",
        "-c",
        "print(1)",
        env={"A": "b"},
        secrets={"KEY": "s3cret"},
        flavor="cpu-basic",
        timeout="5m",
        labels={"team": "ml"},
    )
    assert job.status.stage == "SCHEDULING"
    assert job.owner.name == "ada"
    assert job.labels is not None
    assert job.labels["team"] == "ml"
    assert job.url.endswith(f"/jobs/ada/{job.id}")
    assert "s3cret" not in repr(ada.inspect_job(job_id=job.id))
    assert ada.inspect_job(job_id=job.id).secrets == {"KEY": None}
    spec = runner.claim(job.id)
    assert (spec["environment"], spec["secrets"]) == ({"A": "b"}, {"KEY": "s3cret"})
    assert (spec["command"], spec["timeout_s"]) == (["python", "-c", "print(1)"], 300)
    assert ada.inspect_job(job_id=job.id).status.stage == "RUNNING"
    runner.say(job.id, 0, "one", "two", "", "三")
    runner.end(job.id, exit_code=0)
    assert list(ada.fetch_job_logs(job_id=job.id, follow=True)) == ["one", "two", "", "三"]
    assert list(ada.fetch_job_logs(job_id=job.id)) == ["one", "two", "", "三"]
    assert list(ada.fetch_job_logs(job_id=job.id, tail=2)) == ["", "三"]
    assert list(ada.fetch_job_metrics(job_id=job.id)) == []
    done = ada.wait_for_job(job.id)
    assert done.status.stage == "COMPLETED"
    assert done.durations is not None
    assert done.durations.total_secs is not None


def test_a_log_is_followed_while_it_grows(ada: HfApi, run: Run, runner: PlainRunner) -> None:
    job = run()
    runner.claim(job.id)
    runner.say(job.id, 0, "first")
    lines = iter(ada.fetch_job_logs(job_id=job.id, follow=True))
    assert next(lines) == "first"
    runner.say(job.id, 1, "second")
    assert next(lines) == "second"
    thread = threading.Thread(target=lambda: runner.end(job.id, "failed", exit_code=2, reason="exit code 2"))
    thread.start()
    assert list(lines) == []
    thread.join()
    status = ada.inspect_job(job_id=job.id).status
    assert (status.stage, status.message) == ("ERROR", "exit code 2")


def test_a_log_goes_on_where_it_broke_off(server: LiveServer, run: Run, runner: PlainRunner) -> None:
    job = run()
    runner.claim(job.id)
    runner.say(job.id, 0, "a", "b", "c")
    runner.end(job.id)
    url = f"{server.url}/api/jobs/ada/{job.id}/logs"
    headers = {"Authorization": f"Bearer {server.tokens['ada']}"}
    whole = httpx.get(url, headers=headers).text
    marks = [line[4:] for line in whole.splitlines() if line.startswith("id: ")]
    rest = httpx.get(url, headers=headers | {"Last-Event-ID": marks[0]}).text
    assert [line[4:] for line in rest.splitlines() if line.startswith("id: ")] == marks[1:]
    states = httpx.get(f"{server.url}/api/jobs/ada/{job.id}/events", headers=headers).text
    assert '"stage":"COMPLETED"' in states


def test_metrics_while_it_runs(ada: HfApi, run: Run, runner: PlainRunner) -> None:
    job = run(flavor="t4-small")
    runner.claim(job.id)
    sample = {"cpu": 0.5, "memory_bytes": 123, "gpu": 0.25, "gpu_memory_bytes": 99, "energy_wh": 0.5}
    runner.tell(job.id, "heartbeat", {"sample": sample})
    found = next(iter(ada.fetch_job_metrics(job_id=job.id)))
    assert (found["cpu_usage_pct"], found["memory_used_bytes"]) == (25, 123)
    assert found["gpus"]["all"]["utilization"] == 25
    assert found["energy_wh"] == 0.5


def test_lists_labels_and_pages(ada: HfApi, grace: HfApi, run: Run) -> None:
    ids = [run(labels={"batch": "pages", "number": str(number)}).id for number in range(3)]
    found = [job.id for job in ada.list_jobs(namespace="ada", labels={"batch": "pages"})]
    assert found == ids[::-1]
    assert [job.id for job in ada.list_jobs(namespace="ada", labels={"batch": "pages", "number": "1"})] == [
        ids[1]
    ]
    ada.cancel_job(job_id=ids[0])
    assert [
        job.id for job in ada.list_jobs(namespace="ada", status="CANCELED", labels={"batch": "pages"})
    ] == [ids[0]]
    renamed = ada.update_job_labels(job_id=ids[1], labels={"batch": "other"})
    assert renamed.labels == {"batch": "other"}
    url = f"{ada.endpoint}/api/jobs/ada?limit=1&label=batch=pages"
    first = httpx.get(url, headers={"Authorization": f"Bearer {ada.token}"})
    assert len(first.json()) == 1
    assert "label=batch%3Dpages" in first.headers["link"]
    assert list(grace.list_jobs(namespace="ada", labels={"batch": "pages"})) == []


def test_others_see_and_stop_nothing(grace: HfApi, run: Run, server: LiveServer) -> None:
    job = run()
    for call in (
        lambda: grace.inspect_job(job_id=job.id, namespace="ada"),
        lambda: grace.cancel_job(job_id=job.id, namespace="ada"),
        lambda: list(grace.fetch_job_logs(job_id=job.id, namespace="ada")),
        lambda: grace.inspect_job(job_id="f" * 24, namespace="ada"),
    ):
        with pytest.raises(JobNotFoundError):
            call()
    with pytest.raises(HfHubHTTPError, match="403"):
        grace.run_job(image="python:3.12", command=["true"], namespace="ada")
    assert httpx.get(f"{server.url}/api/jobs/ada/{job.id}").status_code == 401
    assert httpx.post(f"{server.url}/api/jobs/ada", json={}).status_code == 401


def test_a_job_again(ada: HfApi, run: Run) -> None:
    job = run("python", "a.py", attempts=3)
    again = ada.rerun_job(job_id=job.id)
    assert again.id != job.id
    assert (again.command, again.retry) == (["python", "a.py"], 2)
    assert again.initiator is not None
    assert (again.initiator.type, again.initiator.id) == ("duplicated-job", job.id)
    ada.cancel_job(job_id=again.id)
    with pytest.raises(HfHubHTTPError, match="409"):
        ada.cancel_job(job_id=again.id)


def test_volumes_are_fixed_to_commits(
    ada: HfApi, run: Run, runner: PlainRunner, repo: Callable[..., str]
) -> None:
    repo_id = repo()
    commit = ada.model_info(repo_id).sha
    volume = Volume(type="model", source=repo_id, mount_path="/data", path="sub")
    job = run(volumes=[volume])
    assert job.volumes is not None
    assert job.volumes[0].source == repo_id
    spec = runner.claim(job.id)
    assert spec["inputs"] == [
        {
            "type": "model",
            "repo": repo_id,
            "revision": commit,
            "path": "/data",
            "sub_path": "sub",
            "read_only": True,
        }
    ]
    limited = HfApi(endpoint=ada.endpoint, token=spec["token"])
    assert limited.model_info(repo_id).sha == commit
    with pytest.raises(HfHubHTTPError):
        limited.create_repo("ada/by-a-job")
    runner.end(job.id)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"flavor": "quantum"}, "no hardware called"),
        ({"volumes": [Volume(type="model", source="ada/x", mount_path="/../etc")]}, "mountPath"),
        ({"env": {"NOT A NAME": "x"}}, "no name of a variable"),
        ({"labels": {"a b": "x"}}, "labels"),
        ({"timeout": 10**9}, "timeoutSeconds"),
    ],
)
def test_what_is_wrong_is_named(ada: HfApi, options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        ada.run_job(image="python:3.12", command=["true"], **options)


@pytest.mark.parametrize("options", [{"expose": [80]}, {"ssh": True}, {"network_group": "a"}])
def test_what_no_runner_offers_is_said(ada: HfApi, options: dict[str, Any]) -> None:
    with pytest.raises(HfHubHTTPError, match="public address") as refused:
        ada.run_job(image="python:3.12", command=["true"], **options)
    assert refused.value.response.status_code == 501
    with pytest.raises(HfHubHTTPError, match="image of a Space"):
        ada.run_job(image="hf.co/spaces/ada/demo", command=["true"])


def test_hardware(ada: HfApi, runner: PlainRunner) -> None:
    assert "cpu-basic" in [item.name for item in ada.list_jobs_hardware()]


def test_a_uv_script_of_ones_own(
    ada: HfApi, runner: PlainRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client puts the script into a bucket that the job may also write to. It needs Xet."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.delenv("HF_HUB_DISABLE_XET")
    script = tmp_path / "hello.py"
    script.write_text("print('hello')\n")
    with pytest.warns(UserWarning, match="experimental"):
        job = ada.run_uv_job(str(script), script_args=["--x"], dependencies=["numpy"])
    spec = runner.claim(job.id)
    assert spec["command"] == ["uv", "run", "--with", "numpy", "/data/hello.py", "--x"]
    volume = spec["inputs"][0]
    assert (volume["type"], volume["repo"], volume["read_only"]) == ("bucket", "ada/jobs-artifacts", False)
    limited = HfApi(endpoint=ada.endpoint, token=spec["token"])
    names = [item.path for item in limited.list_bucket_tree("ada/jobs-artifacts", recursive=True)]
    assert f"{volume['sub_path']}/hello.py" in names
    runner.end(job.id)


def test_schedules(ada: HfApi, grace: HfApi, server_rt: Runtime, runner: PlainRunner) -> None:
    made = ada.create_scheduled_job(
        image="python:3.12",
        command=["true"],
        schedule="@hourly",
        labels={"team": "ml"},
        secrets={"K": "s3cret"},
    )
    assert (made.schedule, made.suspend, made.concurrency) == ("@hourly", False, False)
    assert made.status.next_job_run_at is not None
    assert [one.id for one in ada.list_scheduled_jobs(labels={"team": "ml"})] == [made.id]
    ada.suspend_scheduled_job(scheduled_job_id=made.id)
    assert ada.inspect_scheduled_job(scheduled_job_id=made.id).suspend is True
    ada.resume_scheduled_job(scheduled_job_id=made.id)
    changed = ada.update_scheduled_job_schedule(scheduled_job_id=made.id, schedule="0 9 * * MON")
    assert changed.schedule == "0 9 * * MON"
    labelled = ada.update_scheduled_job_labels(scheduled_job_id=made.id, labels={"team": "nlp"})
    assert labelled.job_spec.labels == {"team": "nlp"}
    with pytest.raises(BadRequestError, match="five fields"):
        ada.update_scheduled_job_schedule(scheduled_job_id=made.id, schedule="often")
    with pytest.raises(JobNotFoundError):
        grace.inspect_scheduled_job(scheduled_job_id=made.id, namespace="ada")

    job = ada.trigger_scheduled_job(scheduled_job_id=made.id)
    assert job.initiator is not None
    assert job.initiator.type == "scheduled-job"
    status = ada.inspect_scheduled_job(scheduled_job_id=made.id).status
    assert status.last_job is not None
    assert status.last_job.id == job.id
    _fall_due(server_rt, made.id)
    JobKeeper()(server_rt)
    assert _last(ada, made.id) == job.id, "the one before still runs"
    assert runner.claim(job.id)["secrets"] == {"K": "s3cret"}
    runner.end(job.id)
    _fall_due(server_rt, made.id)
    JobKeeper()(server_rt)
    later = _last(ada, made.id)
    assert later != job.id
    ada.cancel_job(job_id=later)
    ada.delete_scheduled_job(scheduled_job_id=made.id)
    with pytest.raises(JobNotFoundError):
        ada.inspect_scheduled_job(scheduled_job_id=made.id)


def _fall_due(rt: Runtime, schedule_id: str) -> None:
    with rt.database.writing() as db:
        db.query(Schedule).filter(Schedule.object_id == schedule_id).one().next_at = now()


def _last(api: HfApi, schedule_id: str) -> str:
    last = api.inspect_scheduled_job(scheduled_job_id=schedule_id).status.last_job
    assert last is not None
    return last.id


def test_the_command_line(server: LiveServer, ada: HfApi, runner: PlainRunner, tmp_path: Path) -> None:
    """`hf jobs run` starts a job and follows its log; `ps`, `inspect`, `cancel` and `scheduled` know it."""

    def hf(*words: str) -> subprocess.Popen[str]:
        env = {
            "HF_ENDPOINT": server.url,
            "HF_TOKEN": server.tokens["ada"],
            "HF_HOME": str(tmp_path),
            "PATH": "/usr/bin:/bin",
            "NO_COLOR": "1",
        }
        command = [str(Path(sys.executable).with_name("hf")), *words]
        return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    running = hf("jobs", "run", "--label", "from=cli", "python:3.12", "python", "-c", "print(1)")
    claimed = _wait_for_job(ada)
    runner.claim(claimed)
    runner.say(claimed, 0, "said by the job")
    runner.end(claimed)
    output = running.communicate(timeout=60)[0]
    assert "said by the job" in output
    assert running.returncode == 0, output
    for words, expected in (
        (("jobs", "ps", "-a", "--no-truncate"), claimed),
        (("jobs", "logs", claimed), "said by the job"),
        (("jobs", "inspect", claimed, "--format", "json"), claimed),
        (("jobs", "scheduled", "ps"), ""),
    ):
        done = hf(*words)
        text = done.communicate(timeout=60)[0]
        assert done.returncode == 0, text
        assert expected in text
    started = hf("jobs", "run", "--detach", "--label", "from=cli", "python:3.12", "sleep", "60")
    waiting = _wait_for_job(ada)
    assert waiting in _said(started)
    _said(hf("jobs", "cancel", waiting, "--namespace", "ada"))
    assert ada.inspect_job(job_id=waiting, namespace="ada").status.stage == "CANCELED"
    scheduled = _said(hf("jobs", "scheduled", "run", "@daily", "python:3.12", "python", "-c", "print(2)"))
    (daily,) = [one for one in ada.list_scheduled_jobs(namespace="ada") if one.id in scheduled]
    assert (daily.schedule, daily.job_spec.command) == ("@daily", ["python", "-c", "print(2)"])
    assert daily.id in _said(hf("jobs", "scheduled", "ps"))
    _said(hf("jobs", "scheduled", "delete", daily.id))
    assert daily.id not in _said(hf("jobs", "scheduled", "ps"))


def _said(running: subprocess.Popen[str]) -> str:
    """What a command printed; it must not fail."""
    text = running.communicate(timeout=60)[0]
    assert running.returncode == 0, text
    return text


def _wait_for_job(ada: HfApi) -> str:
    """The id of the job the command line has started by now."""
    from time import monotonic, sleep

    ends_at = monotonic() + 60
    while monotonic() < ends_at:
        for job in ada.list_jobs(namespace="ada", labels={"from": "cli"}, status="SCHEDULING"):
            return job.id
        sleep(0.1)
    raise AssertionError("no job was started")
