"""The training side installs behind the running site; its pages and `llmos doctor` say how far it is."""

from __future__ import annotations

import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from llmos.app import site_pages
from llmos.app.doctor import examine
from llmos.app.install_lab import install, progress_path, read_progress
from llmos.infra.runtime import Runtime

LIMIT_S = 20

# An installer that announces its steps as scripts/setup.sh does, and waits to be told to go on.
_SCRIPT = """#!/bin/bash
set -e
[ "$1" = lab ]
cd "$(dirname "$0")"
fail() { echo "No space left on device" >&2; exit 1; }
wait_for_word() { read -r word < "go-$1"; [ "$word" = on ] || fail; }
printf '\\033[1mInstalling torch (CPU)\\033[0m\\n' >&2
echo "a line that is no step" >&2
wait_for_word 1
printf '\\033[1mInstalling the training tools\\033[0m\\n' >&2
wait_for_word 2
"""


@dataclass
class Installer:
    folder: Path
    home: Path
    thread: threading.Thread | None = None

    def start(self) -> None:
        script = self.folder / "setup.sh"
        script.write_text(_SCRIPT)
        script.chmod(0o755)
        for number in (1, 2):  # one each: a writer that is slow to leave would be met twice
            os.mkfifo(self.folder / f"go-{number}")
        self.thread = threading.Thread(target=install, args=(self.home, script), daemon=True)
        self.thread.start()

    def say(self, number: int, word: str) -> None:
        """Blocks until the script waits for it."""
        (self.folder / f"go-{number}").write_text(word + "\n")

    def wait_for_step(self, step: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while read_progress(self.home).step != step:
            assert time.monotonic() < deadline, read_progress(self.home)
            time.sleep(0.01)

    def end(self) -> None:
        assert self.thread is not None
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive()


@pytest.fixture
def installer(rt: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installer:
    monkeypatch.setenv("LLMOS_EXTRAS", "all")
    monkeypatch.setattr(site_pages, "_LOOK_EVERY_S", -1.0)
    folder = tmp_path / "source"
    folder.mkdir()
    return Installer(folder, rt.settings.home)


def doctor_says(rt: Runtime) -> tuple[str, str]:
    (found,) = [finding for finding in examine(rt) if finding.check == "training side"]
    return found.state, found.detail


def bar(client: TestClient, language: str = "en") -> str | None:
    """How far the bar on the first page is, in hundredths."""
    answer = client.get("/", headers={"Accept-Language": language})
    assert answer.status_code == 200, answer.text
    page = answer.text
    found = re.search(r'<div class="banner" role="status">.*?<progress value="(\d+)" max="100"', page, re.S)
    return found[1] if found else None


def test_steps_are_shown_until_it_is_installed(
    rt: Runtime, app_client: TestClient, installer: Installer
) -> None:
    assert bar(app_client) is None
    installer.start()
    installer.wait_for_step("Installing torch (CPU)")
    assert bar(app_client) == "33"
    assert doctor_says(rt) == ("warn", "Installing torch (CPU) (33%)")
    installer.say(1, "on")
    installer.wait_for_step("Installing the training tools")
    assert bar(app_client, "zh") == "66"
    assert "正在后台安装" in app_client.get("/", headers={"Accept-Language": "zh"}).text
    installer.say(2, "on")
    installer.end()
    assert bar(app_client) is None
    assert doctor_says(rt) == ("ok", "installed")


def test_a_failure_is_told_with_its_reason_until_it_is_mended(
    rt: Runtime, app_client: TestClient, installer: Installer
) -> None:
    installer.start()
    installer.say(1, "stop")
    installer.end()
    assert bar(app_client) is None
    assert doctor_says(rt) == ("fail", "No space left on device")
    # What `make setup-lab` leaves behind.
    stamp = installer.folder / ".venv" / ".stamps" / "lab"
    stamp.parent.mkdir(parents=True)
    assert read_progress(installer.home, root=installer.folder).state == "failed"
    stamp.touch()
    assert read_progress(installer.home, root=installer.folder).state == "done"


def test_an_installation_that_was_killed_is_not_said_to_run(
    rt: Runtime, app_client: TestClient, installer: Installer
) -> None:
    gone = os.posix_spawn("/bin/true", ["/bin/true"], {})
    os.waitpid(gone, 0)
    text = f'{{"state": "running", "step": "Installing torch", "share": 0.3, "pid": {gone}}}'
    progress_path(installer.home).write_text(text)
    assert bar(app_client) is None
    assert doctor_says(rt) == ("warn", "stopped at: Installing torch")
    assert read_progress(installer.home, root=installer.folder).state == "stopped"
    progress_path(installer.home).write_text("{torn")
    assert read_progress(installer.home, root=installer.folder).state == "none"


def test_nothing_is_said_where_it_is_left_out(
    rt: Runtime, app_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOS_EXTRAS", "hub")
    assert bar(app_client) is None
    assert doctor_says(rt) == ("ok", "left out (LLMOS_EXTRAS=hub)")
