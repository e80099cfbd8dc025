"""The whole program: memory when idle, time to the first page."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import llmos
from benchmarks.bench import Bench, memory_bytes
from benchmarks.report import Row
from kit.server import free_port


def _installed() -> dict[str, str]:
    """The environment of an installed program, whose bytecode was compiled by `make setup`."""
    compileall.compile_dir(str(Path(llmos.__file__).parent), quiet=2)
    subprocess.run([sys.executable, "-m", "llmos.app.compile_templates"], check=True)
    return dict(os.environ)


def idle_memory(bench: Bench) -> Iterator[Row]:
    """Proportional memory of everything `llmos up` starts, without the training side."""
    port = free_port()
    env = _installed() | {
        "LLMOS_HOME": str(bench.scratch / "fresh"), "LLMOS_PORT": str(port), "LLMOS_EXTRAS": "hub",
    }  # fmt: skip
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "llmos.cli", "up"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        took_s = _first_page(f"http://127.0.0.1:{port}/", started)
        time.sleep(12)  # until the worker's first round is over
        used = memory_bytes(process.pid) / 1e6
    finally:
        process.terminate()
        process.wait(30)
    yield Row("idle memory, everything", f"{used:.0f} MB", "limit 200 MB", used / 200, at_most=1.0)
    yield Row("first start to first page", f"{took_s:.2f} s", "limit 3 s", took_s / 3, at_most=1.0)


def cold_start(bench: Bench) -> Iterator[Row]:
    """A second start over an existing folder."""
    port = free_port()
    env = _installed() | {
        "LLMOS_HOME": str(bench.scratch / "again"), "LLMOS_PORT": str(port), "LLMOS_EXTRAS": "hub",
    }  # fmt: skip
    took: list[float] = []
    for _ in range(3):
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "llmos.cli", "up"],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            took.append(_first_page(f"http://127.0.0.1:{port}/", started))
        finally:
            process.terminate()
            process.wait(30)
    yield Row(
        "cold start to first page", f"{min(took[1:]):.2f} s", "limit 3 s", min(took[1:]) / 3, at_most=1.0
    )


def _first_page(url: str, started: float) -> float:
    while time.perf_counter() - started < 60:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return time.perf_counter() - started
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.02)
    raise RuntimeError("no page within 60 s")
