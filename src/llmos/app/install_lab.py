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

SCRIPT = Path(__file__).parents[3] / "scripts" / "setup.sh"
STEPS = 3  # environment, torch, training tools: the lines scripts/setup.sh announces


@dataclass
class InstallProgress:
    """`share` runs from 0 to 1; `step` is the line the installer printed last."""

    state: str = "none"
    step: str = ""
    share: float = 0.0
    started_at: float = 0.0
    error: str = ""


def progress_path(home: Path) -> Path:
    return home / "install.json"


def read_progress(home: Path) -> InstallProgress:
    """What the installer wrote last; `state` is "none" where it never ran."""
    try:
        return InstallProgress(**json.loads(progress_path(home).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return InstallProgress()


def _write(home: Path, progress: InstallProgress) -> None:
    target = progress_path(home)
    temporary = target.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(progress)))
    temporary.replace(target)


def wanted() -> bool:
    return os.environ.get("LLMOS_EXTRAS", "all") != "hub" and SCRIPT.exists()


def main() -> int:
    home = get_settings().home
    if not wanted():
        return 0
    progress = InstallProgress("running", "Preparing", 0.02, time.time())
    _write(home, progress)
    process = subprocess.Popen(
        [str(SCRIPT), "lab"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    tail: list[str] = []
    seen = 0
    for line in process.stderr:
        text = line.replace("\x1b[1m", "").replace("\x1b[0m", "").strip()
        tail = [*tail[-20:], text]
        if text.startswith(("Creating", "Installing")):
            seen += 1
            progress.step, progress.share = text, min(seen / STEPS, 0.95)
            _write(home, progress)
    code = process.wait()
    progress.state = "done" if code == 0 else "failed"
    progress.share = 1.0 if code == 0 else progress.share
    progress.error = "" if code == 0 else "\n".join(tail)
    _write(home, progress)
    # A failed install is shown, not repeated for ever: `make setup-lab` tries again.
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
