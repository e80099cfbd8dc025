"""A live LLMOS server in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

START_LIMIT_S = 90


@dataclass
class LiveServer:
    """`tokens` maps a person to a token with the write role."""

    url: str
    home: Path
    env: dict[str, str]
    process: subprocess.Popen[bytes]
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def log(self) -> str:
        return (self.home / "server.log").read_text(errors="replace")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def live_server(home: Path, *, file_limit_bytes: int = 0, **settings: str) -> Iterator[LiveServer]:
    """Start a server over `home`; `settings` become `LLMOS_*` variables.

    No file may grow beyond `file_limit_bytes`, if given: for it the disk is full there.
    """
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    env = {key: value for key, value in os.environ.items() if not key.startswith(("LLMOS_", "HF_"))}
    env |= {"LLMOS_HOME": str(home), "LLMOS_PORT": str(port), "LLMOS_RATE_LIMITS": "false", "LLMOS_DEMO": "0"}
    env |= {f"LLMOS_{key.upper()}": value for key, value in settings.items()}
    log = (home / "server.log").open("ab")
    process = subprocess.Popen(_program(file_limit_bytes), env=env, stdout=log, stderr=subprocess.STDOUT)
    server = LiveServer(f"http://127.0.0.1:{port}", home, env, process)
    try:
        wait_until_up(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def _program(file_limit_bytes: int) -> list[str]:
    server = [sys.executable, "-m", "llmos.app.serve"]
    if not file_limit_bytes:
        return server
    return ["prlimit", f"--fsize={file_limit_bytes}", "env", "--ignore-signal=XFSZ", *server]


def wait_until_up(server: LiveServer) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RuntimeError(f"the server ended at once:\n{server.log()}")
        try:
            with urllib.request.urlopen(f"{server.url}/-/health", timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    raise RuntimeError(f"the server did not come up within {START_LIMIT_S} s:\n{server.log()}")
