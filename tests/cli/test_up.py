"""`llmos up` as an operator sees it: an address, a link, parts that come back, an end in good order."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from kit.server import free_port

LIMIT_S = 90


def wait_for(log: Path, pattern: str, count: int = 1) -> list[str]:
    """What the log says, once it says it so often."""
    deadline = time.monotonic() + LIMIT_S
    while len(found := re.findall(pattern, log.read_text())) < count:
        assert time.monotonic() < deadline, (pattern, log.read_text())
        time.sleep(0.05)
    return found


def test_up_watches_over_its_parts(tmp_path: Path) -> None:
    home, log, port = tmp_path / "home", tmp_path / "log", free_port()
    env = {key: value for key, value in os.environ.items() if not key.startswith("LLMOS_")}
    env |= {"LLMOS_HOME": str(home), "LLMOS_PORT": str(port), "LLMOS_EXTRAS": "hub"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "llmos.cli", "up"], env=env, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        check(process, log, f"http://127.0.0.1:{port}")
    finally:
        if process.poll() is None:
            process.kill()


def check(process: subprocess.Popen[bytes], log: Path, url: str) -> None:
    [link] = wait_for(log, r"(http://\S+/-/claim\S*)")
    assert httpx.get(url + link[link.index("/-/claim") :]).status_code == 200
    [pid] = wait_for(log, r"web started \(pid (\d+)\)")
    wait_for(log, r"worker started \(pid \d+\)")
    os.kill(int(pid), signal.SIGKILL)
    wait_for(log, r"web ended with signal SIGKILL; starting it again in 1 s")
    pids = wait_for(log, r"web started \(pid (\d+)\)", 2)
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            assert httpx.get(f"{url}/-/health").status_code == 200
            break
        except httpx.TransportError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert log.read_text().rstrip().endswith("stopped")
    assert "Traceback" not in log.read_text()
    assert not Path(f"/proc/{pids[1]}").exists()
