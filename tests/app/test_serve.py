"""The web process as a program: one server on a port, alone or with several workers."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from kit.server import LiveServer, live_server
from llmos.app.supervisor import WRONG_SETTINGS


def test_second_server_on_the_same_port_is_refused(server: LiveServer, tmp_path: Path) -> None:
    env = server.env | {"LLMOS_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "llmos.app.serve"], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == WRONG_SETTINGS
    assert f":{server.port}" in done.stderr
    assert "LLMOS_PORT" in done.stderr


def test_several_workers_share_the_port(tmp_path: Path) -> None:
    with live_server(tmp_path / "home", web_workers="2") as server:
        with urllib.request.urlopen(server.url + "/-/health") as answer:
            assert answer.read() == b"ok"
        assert server.log().count("Spawning worker") == 2
    # Told to stop while the second worker may still be starting.
    assert server.process.returncode == 0


def test_a_told_stop_is_a_good_end(tmp_path: Path) -> None:
    with live_server(tmp_path / "home") as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(15) == 0
