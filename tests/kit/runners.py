"""A runner in a process of its own, at work for a live server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from kit.server import LiveServer
from llmos.features.accounts.actor import OPERATOR
from llmos.features.accounts.policy import access_user
from llmos.features.auth.credentials import actor_for_user
from llmos.features.jobs.queries import is_online
from llmos.features.jobs.runners import register_runner, runner_of
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings

LIMIT_S = 60.0


@contextmanager
def _runtime(server: LiveServer) -> Iterator[Runtime]:
    extra = {
        key.removeprefix("LLMOS_").lower(): value
        for key, value in server.env.items()
        if key in ("LLMOS_DATABASE_URL", "LLMOS_STORAGE_URL")
    }
    rt = open_runtime(Settings(home=server.home, **extra))
    try:
        yield rt
    finally:
        rt.close()


def register(server: LiveServer, name: str, *, owner: str = "root-admin", scope: str = "instance") -> str:
    """Register a runner; its token."""
    with _runtime(server) as rt, rt.database.writing() as db:
        actor = actor_for_user(db, access_user(db, OPERATOR, owner))
        return register_runner(db, actor, name=name, scope=scope)[1]


def wait_for_runner(server: LiveServer, token: str) -> None:
    """Until the runner with this token has said what it can do."""
    with _runtime(server) as rt:

        def is_there() -> bool:
            with rt.database.reading() as db:
                return is_online(runner_of(db, token))

        wait_until(is_there)


def start_runner(server: LiveServer, folder: Path, token: str, *options: str) -> subprocess.Popen[bytes]:
    """A runner process over `folder`; its log is `folder/runner.log`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "token").write_text(token)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("LLMOS_", "HF_"))}
    command = [
        sys.executable, "-m", "llmos.cli", "runner", "start", "--url", server.url,
        "--token-file", str(folder / "token"), "--folder", str(folder / "work"),
        "--name", folder.name, *options,
    ]  # fmt: skip
    with (folder / "runner.log").open("ab") as log:
        return subprocess.Popen(
            command,
            env=env | {"LLMOS_HOME": str(server.home)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@contextmanager
def runner(server: LiveServer, folder: Path, token: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    process = start_runner(server, folder, token, *options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Jobs:
    """One person's view of jobs, by plain HTTP."""

    def __init__(self, server: LiveServer, person: str = "ada") -> None:
        self.person, self.url, self.token = person, server.url, server.tokens[person]
        self.http = httpx.Client(
            base_url=server.url, headers={"Authorization": f"Bearer {server.tokens[person]}"}, timeout=30
        )

    def send(self, code: str, **more: Any) -> str:
        """A Python program as a job; its id."""
        body = {"dockerImage": "python:3", "command": ["python", "-c", code], "flavor": "cpu-basic"} | more
        return self._send(body)

    def send_recipe(self, recipe: dict[str, Any], **more: Any) -> str:
        """A training as a job; its id."""
        return self._send({"recipe": recipe, "flavor": "cpu-basic"} | more)

    def _send(self, body: dict[str, Any]) -> str:
        answer = self.http.post(f"/api/jobs/{self.person}", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def info(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/api/jobs/{self.person}/{job_id}").raise_for_status().json()
        return found

    def stage(self, job_id: str) -> str:
        return str(self.info(job_id)["status"]["stage"])

    def wait(self, job_id: str, *stages: str, limit_s: float = LIMIT_S) -> dict[str, Any]:
        """Until the job is in one of the stages (by default: over)."""
        wanted = stages or ("COMPLETED", "ERROR", "CANCELED")
        wait_until(lambda: self.stage(job_id) in wanted, limit_s=limit_s, what=lambda: self.info(job_id))
        return self.info(job_id)

    def log(self, job_id: str) -> list[str]:
        """The lines of a job, by the official client."""
        from huggingface_hub import HfApi

        api = HfApi(endpoint=self.url, token=self.token)
        return list(api.fetch_job_logs(job_id=job_id, namespace=self.person, follow=False))

    def cancel(self, job_id: str) -> None:
        self.http.post(f"/api/jobs/{self.person}/{job_id}/cancel").raise_for_status()


@contextmanager
def worker(server: LiveServer) -> Iterator[None]:
    """The process beside the server: leases, the outbox, signing. Its log is `worker.log` of the home."""
    command = [sys.executable, "-m", "llmos.app.worker"]
    with (
        (server.home / "worker.log").open("ab") as log,
        subprocess.Popen(command, env=server.env, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            yield
        finally:
            process.terminate()


def wait_until(
    condition: Callable[[], object],
    *,
    limit_s: float = LIMIT_S,
    every_s: float = 0.05,
    what: Callable[[], object] = lambda: "",
) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(every_s)
