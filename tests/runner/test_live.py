"""Jobs from the official client to a runner and back, through a live hub."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from kit.runners import Jobs, register, runner, start_runner, wait_until
from kit.server import LiveServer
from llmos.runner.bubblewrap import probe_isolation

if probe_isolation().reason:
    pytest.skip(probe_isolation().reason, allow_module_level=True)


@pytest.fixture(scope="module")
def token(server: LiveServer) -> str:
    return register(server, "tests")


@pytest.fixture(scope="module")
def jobs(server: LiveServer) -> Iterator[Jobs]:
    found = Jobs(server)
    yield found
    found.http.close()


@pytest.fixture(scope="module")
def at_work(server: LiveServer, token: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A runner that takes jobs for the whole module; its folder."""
    folder = tmp_path_factory.mktemp("runner") / "first"
    with runner(server, folder, token):
        yield folder


def test_the_official_client_runs_a_command(server: LiveServer, at_work: Path, jobs: Jobs) -> None:
    api = HfApi(endpoint=server.url, token=server.tokens["ada"])
    sent = api.run_job(
        image="python:3.11",
        command=["python", "-c", "import os; print('hi', os.environ['WORD'], os.environ['SECRET'])"],
        env={"WORD": "there"},
        secrets={"SECRET": "sesame"},
        namespace="ada",
    )
    info = jobs.wait(sent.id)
    assert info["status"]["stage"] == "COMPLETED", info
    assert "hi there sesame" in jobs.log(sent.id)
    assert not list((at_work / "work" / "jobs").iterdir())


def test_the_command_line_runs_a_script_with_uv(
    server: LiveServer, at_work: Path, jobs: Jobs, tmp_path: Path
) -> None:
    """`hf jobs uv run` with a file of this machine; without the network, as it needs nothing from there."""
    if not Path(sys.executable).with_name("uv").exists() and shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    script = tmp_path / "count.py"
    script.write_text(
        "# /// script\n# requires-python = '>=3.11'\n# dependencies = []\n# ///\n"
        "import os, sys\n"
        "is_own = sys.prefix != sys.base_prefix\n"
        "print('counted', len(sys.argv[1].split()), 'offline', os.environ['UV_OFFLINE'], is_own)\n"
    )
    env = {"HF_ENDPOINT": server.url, "HF_TOKEN": server.tokens["ada"], "HF_HOME": str(tmp_path / "home")}
    command = [str(Path(sys.executable).with_name("hf")), "jobs", "uv", "run", str(script), "one two three"]
    done = subprocess.run(
        command, env=env | {"PATH": "/usr/bin:/bin", "NO_COLOR": "1"},
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "counted 3 offline 1 True" in done.stdout
    api = HfApi(endpoint=server.url, token=server.tokens["ada"])
    job = next(iter(api.list_jobs(namespace="ada", status="COMPLETED")))
    assert job.command[:2] == ["uv", "run"]


def test_a_failing_command_says_why(at_work: Path, jobs: Jobs) -> None:
    job = jobs.send("import sys; print('to stderr', file=sys.stderr); sys.exit(7)")
    info = jobs.wait(job)
    assert info["status"]["stage"] == "ERROR"
    assert "exit code 7" in info["status"]["message"]
    assert "to stderr" in "\n".join(jobs.log(job))


def test_an_image_nobody_has(at_work: Path, jobs: Jobs) -> None:
    job = jobs.send("print(1)", dockerImage="python:3.99")
    assert "no Python 3.99" in jobs.wait(job)["status"]["message"]


def test_inputs_are_read_only_and_outputs_become_a_commit(
    server: LiveServer, at_work: Path, jobs: Jobs
) -> None:
    api = HfApi(endpoint=server.url, token=server.tokens["ada"])
    api.create_repo("ada/job-input", repo_type="dataset", private=True)
    api.upload_file(
        path_or_fileobj=b"one two", path_in_repo="sub/rows.txt", repo_id="ada/job-input", repo_type="dataset"
    )
    code = (
        "import os\n"
        "text = open('/data/sub/rows.txt').read()\n"
        "try: open('/data/sub/rows.txt', 'w'); print('WROTE')\n"
        "except OSError: print('read-only')\n"
        "os.makedirs('output/deep'); open('output/deep/count.txt', 'w').write(str(len(text.split())))\n"
        "os.symlink('/etc/passwd', 'output/stolen')\n"
    )
    job = jobs.send(
        code,
        volumes=[{"type": "dataset", "source": "ada/job-input", "mountPath": "/data", "readOnly": True}],
        outputs=[{"repo": "ada/job-output", "type": "model", "path": "output"}],
    )
    info = jobs.wait(job)
    assert info["status"]["stage"] == "COMPLETED", (info, jobs.log(job))
    assert "read-only" in jobs.log(job)
    files = set(api.list_repo_files("ada/job-output"))
    assert "deep/count.txt" in files
    assert "stolen" not in files
    path = api.hf_hub_download("ada/job-output", "deep/count.txt", cache_dir=at_work / "cache")
    assert Path(path).read_text() == "2"


def test_cancel_stops_a_running_job(at_work: Path, jobs: Jobs) -> None:
    job = jobs.send("import time; print('begun', flush=True); time.sleep(60)")
    jobs.wait(job, "RUNNING")
    jobs.cancel(job)
    assert jobs.wait(job, limit_s=25)["status"]["stage"] == "CANCELED"


def test_a_killed_runner_loses_its_job_to_another(
    server: LiveServer, token: str, jobs: Jobs, tmp_path: Path, at_work: Path
) -> None:
    """The killed one is started again and gives the job back; what it had running is gone."""
    mine = {"runsOn": {"test": "killed"}}
    folder = tmp_path / "second"
    first = start_runner(server, folder, token, "--label", "test=killed")
    code = (
        "import os, time; print('begun'); time.sleep(90 if os.environ['LLMOS_JOB_ATTEMPT'] == '1' else 0)\n"
        "print('end')"
    )
    job = jobs.send(code, **mine)
    jobs.wait(job, "RUNNING")
    wait_until(lambda: "begun" in jobs.log(job))
    first.send_signal(signal.SIGKILL)
    first.wait()
    with runner(server, folder, token, "--label", "test=killed"):
        info = jobs.wait(job)
    assert info["status"]["stage"] == "COMPLETED", info
    lines = jobs.log(job)
    assert lines.count("begun") == 2
    assert lines.count("end") == 1
    assert any("the runner was restarted" in line for line in lines)


def test_sigterm_gives_the_job_back_at_once(
    server: LiveServer, token: str, jobs: Jobs, tmp_path: Path, at_work: Path
) -> None:
    mine = {"runsOn": {"test": "term"}}
    first = start_runner(server, tmp_path / "t", token, "--label", "test=term", "--drain-seconds", "0")
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(0)); print('up'); time.sleep(60)"
    )
    job = jobs.send(code, **mine)
    wait_until(lambda: "up" in jobs.log(job))
    first.terminate()
    assert first.wait(20) == 0
    assert jobs.stage(job) == "SCHEDULING"
    jobs.cancel(job)
    assert jobs.stage(job) == "CANCELED"
