"""The whole program, as somebody installs it: memory when idle, time to the first page.

A developer's environment holds four times as many packages, some of which the server's libraries
import when they find them: figures from there are not those of an installation.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bench import Bench, family, memory_bytes
from benchmarks.report import Row
from kit.server import free_port

ROOT = Path(__file__).parents[1]
INSTALL_LIMIT_S = 900.0


def _clone(scratch: Path) -> Path:
    """The newest commit, as a newcomer has it: nothing installed, nothing compiled."""
    tree = scratch / "llmos"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(tree)], check=True)
    return tree


def _environment(home: Path, port: int, extras: str) -> dict[str, str]:
    # Some machines forbid writing bytecode: every start would compile the program anew.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"LLMOS_HOME": str(home), "LLMOS_PORT": str(port), "LLMOS_EXTRAS": extras}


@contextmanager
def _started(command: list[str], tree: Path, env: dict[str, str]) -> Iterator[tuple[int, float]]:
    """Its process id and the seconds until the first page."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=tree, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process.pid, _first_page(f"http://127.0.0.1:{env['LLMOS_PORT']}/", started)
    finally:
        process.terminate()
        process.wait(60)


def idle(bench: Bench) -> Iterator[Row]:
    """A hub without the training side: proportional memory of all processes, first and later starts."""
    tree = _clone(bench.scratch)
    home, port = bench.scratch / "fresh", free_port()
    env = _environment(home, port, "hub")
    subprocess.run(["make", "-s", "setup"], cwd=tree, env=env, check=True, stdout=subprocess.DEVNULL)
    command = [str(tree / ".venv/bin/llmos"), "up"]
    with _started(command, tree, _environment(bench.scratch / "warm", port, "hub")):
        pass  # the package cache of the machine knows the new files now
    with _started(command, tree, env) as (pid, first_s):
        time.sleep(12)  # until the worker's first round is over
        awake_mb = memory_bytes(pid) / 1e6
        rested_s = _until_rest(pid)
        rest_mb = memory_bytes(pid) / 1e6
    later_s = []
    for _ in range(3):
        with _started(command, tree, env) as (_pid, took_s):
            later_s.append(took_s)
    yield Row("idle memory, everything", f"{rest_mb:.0f} MB", "limit 200 MB", rest_mb / 200, at_most=1.0)
    yield Row("  before the worker rests", f"{awake_mb:.0f} MB", f"for {rested_s:.0f} s", awake_mb / 200)
    yield Row("first start to first page", f"{first_s:.2f} s", "limit 3 s", first_s / 3, at_most=1.0)
    yield Row(
        "later start to first page", f"{min(later_s):.2f} s", "limit 3 s", min(later_s) / 3, at_most=1.0
    )


def _until_rest(pid: int) -> float:
    """Wait until the worker has nothing left to do and gives its memory back; the seconds it took."""
    started = time.perf_counter()
    while not any(b"llmos.app.rest" in _command(child) for child in family(pid)):
        assert time.perf_counter() - started < 300, "the worker does not come to rest"
        time.sleep(0.5)
    return time.perf_counter() - started


def _command(pid: int) -> bytes:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def make_up(bench: Bench) -> Iterator[Row]:
    """`make up` in a clean clone, training side included."""
    tree = _clone(bench.scratch)
    env = _environment(bench.scratch / "fresh", free_port(), "all")
    started = time.perf_counter()
    with _started(["make", "up"], tree, env) as (_pid, first_s):
        stamp = tree / ".venv/.stamps/lab"
        while not stamp.exists() and time.perf_counter() - started < INSTALL_LIMIT_S:
            time.sleep(0.2)
        all_s = time.perf_counter() - started
    yield Row(
        "make up, clean clone, to first page", f"{first_s:.0f} s", "limit 90 s", first_s / 90, at_most=1.0
    )
    yield Row("make up, to everything installed", f"{all_s:.0f} s", "limit 360 s", all_s / 360, at_most=1.0)


def _first_page(url: str, started: float) -> float:
    while time.perf_counter() - started < INSTALL_LIMIT_S:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return time.perf_counter() - started
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.02)
    raise RuntimeError("no page")
