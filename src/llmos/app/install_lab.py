"""Installs the training side behind a running hub: `python -m llmos.app.install_lab`.

Progress is kept in `$LLMOS_HOME/install.json` (`state`: running, done or failed), which the
pages and `llmos doctor` show. Ends at once when the side is installed or left out by
`LLMOS_EXTRAS=hub`.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from llmos.infra.settings import get_settings

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "scripts" / "setup.sh"
STEPS = 3  # environment, torch, training tools: the lines scripts/setup.sh announces


@dataclass
class InstallProgress:
    """`share` runs from 0 to 1; `step` is the line the installer printed last, `pid` its process."""

    state: str = "none"
    step: str = ""
    share: float = 0.0
    started_at: float = 0.0
    error: str = ""
    pid: int = 0


def progress_path(home: Path) -> Path:
    return home / "install.json"


def read_progress(home: Path, *, root: Path = ROOT) -> InstallProgress:
    """How far the installation is.

    `state` is "none" where it never ran, "stopped" where it ended without a word (killed, power
    lost), and "done" once somebody has installed below `root` by hand what failed here.
    """
    path = progress_path(home)
    try:
        progress = InstallProgress(**json.loads(path.read_text()))
        written_at = path.stat().st_mtime
    except (FileNotFoundError, ValueError, TypeError):
        return InstallProgress("done" if _installed_at(root) else "none")
    if progress.state == "running" and not _runs(progress.pid):
        progress.state = "stopped"
    if progress.state in ("stopped", "failed") and _installed_at(root) >= written_at:
        return InstallProgress("done")
    return progress


def _installed_at(root: Path) -> float:
    """When the training side was last installed completely; 0 for never."""
    try:
        return (root / ".venv" / ".stamps" / "lab").stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


def _write(home: Path, progress: InstallProgress) -> None:
    target = progress_path(home)
    temporary = target.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(progress)))
    temporary.replace(target)


def wanted() -> bool:
    return os.environ.get("LLMOS_EXTRAS", "all") != "hub" and SCRIPT.exists()


def install(home: Path, script: Path = SCRIPT) -> InstallProgress:
    """Run the installer and note each step it announces; a failure is noted, not raised."""
    progress = InstallProgress("running", "Preparing", 0.02, time.time(), pid=os.getpid())
    _write(home, progress)
    tail: list[str] = []
    seen = 0
    with subprocess.Popen(
        [str(script), "lab"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            text = line.replace("\x1b[1m", "").replace("\x1b[0m", "").strip()
            tail = [*tail[-20:], text]
            if text.startswith(("Creating", "Installing")):
                seen += 1
                progress.step, progress.share = text, min(seen / STEPS, 0.95)
                _write(home, progress)
    code = process.returncode
    progress.state = "done" if code == 0 else "failed"
    progress.share = 1.0 if code == 0 else progress.share
    progress.error = "" if code == 0 else "\n".join(tail)
    _write(home, progress)
    return progress


def main() -> int:
    if wanted():
        # A failed install is shown, not repeated for ever: `make setup-lab` tries again.
        install(get_settings().home)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
