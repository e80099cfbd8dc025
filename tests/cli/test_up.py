"""`llmos up` as an operator sees it: an address, a link, parts that come back, an end in good order."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from kit.server import free_port

LIMIT_S = 90
PASSWORD = "a long enough secret"


class Instance:
    """One `llmos up` over a home folder; `log` is what it printed, from its start on."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, port: int) -> None:
        self.process = process
        self.log = log
        self.port = port

    def wait_for(self, pattern: str, count: int = 1) -> list[str]:
        """What the log says, once it says it so often."""
        deadline = time.monotonic() + LIMIT_S
        while len(found := re.findall(pattern, self.log.read_text())) < count:
            assert time.monotonic() < deadline, (pattern, self.log.read_text())
            time.sleep(0.05)
        return found

    def wait_until_up(self, url: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                assert httpx.get(f"{url}/-/health", timeout=LIMIT_S).status_code == 200
                return
            except httpx.TransportError:
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.1)

    def stop(self, number: int) -> None:
        """End it by a signal and see that it goes in good order, leaving nobody behind."""
        pids = re.findall(r"started \(pid (\d+)\)", self.log.read_text())
        self.process.send_signal(number)
        assert self.process.wait(30) == 0
        assert self.log.read_text().rstrip().endswith("stopped")
        assert "Traceback" not in self.log.read_text()
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@contextmanager
def up(home: Path, **settings: str) -> Iterator[Instance]:
    log, port = home.with_suffix(".log"), free_port()
    env = {key: value for key, value in os.environ.items() if not key.startswith("LLMOS_")}
    env |= {"LLMOS_HOME": str(home), "LLMOS_PORT": str(port), "LLMOS_EXTRAS": "hub"} | settings
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "llmos.cli", "up"], env=env, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        yield Instance(process, log, port)
    finally:
        if process.poll() is None:
            process.kill()


def test_up_watches_over_its_parts_and_starts_again_as_it_was(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with up(home) as first:
        url = f"http://127.0.0.1:{first.port}"
        [link] = first.wait_for(r"(http://\S+/-/claim\S*)")
        link = url + link[link.index("/-/claim") :]
        assert send_form(link, name="ada", password=PASSWORD) == 303
        assert send_form(link, name="grace", password=PASSWORD) == 404, "it works once"
        [pid] = first.wait_for(r"web started \(pid (\d+)\)")
        first.wait_for(r"worker started \(pid \d+\)")
        os.kill(int(pid), signal.SIGKILL)
        first.wait_for(r"web ended with signal SIGKILL; starting it again in 1 s")
        first.wait_for(r"web started \(pid (\d+)\)", 2)
        first.wait_until_up(url)
        first.stop(signal.SIGINT)
    with up(home, LLMOS_HOST="127.0.0.2") as second:
        url = f"http://127.0.0.2:{second.port}"
        [shown] = second.wait_for(r"LLMOS is at +(\S+)")
        assert shown == url
        second.wait_for("greeting finished")
        assert "/-/claim" not in second.log.read_text(), "the site has its administrator"
        assert send_form(f"{url}/login", login="ada", password=PASSWORD) == 303
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{second.port}/-/health")
        second.stop(signal.SIGTERM)


def send_form(url: str, **fields: str) -> int:
    """Fill in the form of a page as a browser does; the status of the answer."""
    origin = re.match(r"http://[^/]+", url)
    assert origin
    with httpx.Client(timeout=LIMIT_S) as browser:
        page = browser.get(url)
        if page.status_code != 200:
            return page.status_code
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert found, page.text
        data = fields | {"csrf_token": found[1]}
        return browser.post(url, data=data, headers={"Origin": origin[0]}).status_code


def test_a_port_that_is_taken_is_said_at_once(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        env = os.environ | {"LLMOS_HOME": str(tmp_path / "home"), "LLMOS_PORT": port}
        done = subprocess.run(
            [sys.executable, "-m", "llmos.cli", "up"], env=env, capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1
    assert port in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_named_and_ends_the_start(tmp_path: Path) -> None:
    env = os.environ | {"LLMOS_HOME": str(tmp_path / "home"), "LLMOS_PORT": "many"}
    done = subprocess.run(
        [sys.executable, "-m", "llmos.cli", "up"], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "Error: LLMOS_PORT: Input should be a valid integer" in done.stderr
    assert "Traceback" not in done.stderr
