"""The hub ends in the middle of a run and comes back: the job goes on, nothing is lost or doubled."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.databases import Databases
from kit.people import add_people
from kit.runners import Jobs, register, runner, wait_until
from kit.server import LiveServer, live_server, wait_until_up
from llmos.infra.runtime import open_runtime
from llmos.infra.settings import Settings

CODE = (
    "import os, time\n"
    "for number in range(400):\n"
    "    print(number, flush=True)\n"
    "    time.sleep(0.02)\n"
    "os.makedirs('output'); open('output/x.txt', 'w').write('made')\n"
)


@contextmanager
def _start_again(server: LiveServer) -> Iterator[None]:
    command = [sys.executable, "-m", "llmos.app.serve"]
    with (
        (server.home / "server.log").open("ab") as log,
        subprocess.Popen(command, env=server.env, stdout=log, stderr=subprocess.STDOUT) as second,
    ):
        try:
            server.process = second
            wait_until_up(server)
            yield
        finally:
            second.terminate()


@pytest.mark.slow
def test_the_hub_is_killed_while_a_job_writes(tmp_path: Path, _databases: Databases) -> None:  # noqa: PT019
    home = tmp_path / "home"
    extra = _databases.fill(home)
    rt = open_runtime(Settings(home=home, **extra))
    tokens = add_people(rt)
    rt.close()
    with live_server(home, **extra) as server:
        server.tokens.update(tokens)
        jobs = Jobs(server)
        with runner(server, tmp_path / "runner", register(server, "tests")):
            job = jobs.send(CODE, outputs=[{"repo": "ada/after-all", "type": "model", "path": "output"}])
            wait_until(lambda: "30" in jobs.log(job))
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            with _start_again(server):
                info = jobs.wait(job, limit_s=120)
                assert info["status"]["stage"] == "COMPLETED", info
                assert jobs.log(job)[:400] == [str(number) for number in range(400)]
        jobs.http.close()
