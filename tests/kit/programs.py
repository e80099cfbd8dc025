"""Official clients run as programs of their own, with nothing set but the endpoint and a token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from kit.server import LiveServer

LIMIT_S = 180
# Nothing of the developer's own set-up may leak into a client under test.
_LEAKS = ("HF_", "HUGGING", "LLMOS_", "GIT_", "XDG_")


def client_env(server: LiveServer, home: Path, person: str | None = "ada", **extra: str) -> dict[str, str]:
    """The environment of a client: an empty home folder, the endpoint, and the person's token."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(_LEAKS)}
    env |= {
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": server.url,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "PATH": f"{Path(sys.executable).parent}:{env.get('PATH', '')}",
    }
    if person is not None:
        env["HF_TOKEN"] = server.tokens[person]
    return env | extra


def run(
    command: list[str],
    env: dict[str, str],
    cwd: Path | None = None,
    *,
    check: bool = True,
    stdin: str = "",
    limit_s: float = LIMIT_S,
) -> subprocess.CompletedProcess[str]:
    """Run a program; on a failure that was not expected, raise with what it printed."""
    done = subprocess.run(
        command, env=env, cwd=cwd, capture_output=True, text=True, timeout=limit_s, input=stdin, check=False
    )
    if check and done.returncode:
        shown = [part if len(part) < 200 else "…" for part in command]
        raise AssertionError(f"{shown} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def run_python(
    code: str,
    env: dict[str, str],
    *arguments: str,
    python: str = sys.executable,
    limit_s: float = LIMIT_S,
) -> Any:
    """Run `code`, which prints one JSON value on its last line; return that value."""
    done = run([python, "-c", code, *arguments], env, limit_s=limit_s)
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines else None
