"""Starts the training lab in the Python that has torch."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import llmos
from llmos.core.errors import Unavailable
from llmos.lab.train.device import ENVIRONMENT


def lab_python() -> str:
    """LLMOS_LAB_PYTHON, the lab's own environment, or this Python if it has torch.

    Raises Unavailable where none is installed, or it is just being installed.
    """
    if named := os.environ.get("LLMOS_LAB_PYTHON"):
        return named
    tree = Path(llmos.__path__[0]).parents[1]
    own = tree / ".venv-lab" / "bin" / "python"
    # The stamp is written when all of it is installed.
    if own.exists() and (tree / ".venv" / ".stamps" / "lab").exists():
        return str(own)
    if all(importlib.util.find_spec(name) for name in ("torch", "trl", "peft")):
        return sys.executable
    if own.exists():
        raise Unavailable(
            "The training side is still being installed, as `make up` does behind the scenes. Wait some "
            "minutes, or install it now with: make setup-lab"
        )
    raise Unavailable("The training side is not installed. Install it with: make setup-lab")


def run_lab(arguments: list[str]) -> int:
    """Run `python -m llmos.lab` with this terminal; its exit code."""
    return _wait(_start(arguments))


def lab_output(arguments: list[str]) -> tuple[int, str]:
    """Run `python -m llmos.lab`; its exit code, and what it wrote to its standard output."""
    process = _start(arguments, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as stream:
        text = stream.read().decode("utf-8", "replace")
    return _wait(process), text


def lab_environment() -> dict[str, str]:
    """Variables of a lab process: this tree's code, and what keeps torch from spinning."""
    environment = {**ENVIRONMENT, **os.environ}
    source = str(Path(llmos.__path__[0]).parent)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    if Path(source).name == "site-packages":
        # Installed side by side with the hub's libraries, which must not hide the lab's own.
        environment.pop("PYTHONPATH")
    return environment


def _start(arguments: list[str], stdout: int | None = None) -> subprocess.Popen[bytes]:
    command = [lab_python(), "-m", "llmos.lab", *arguments]
    return subprocess.Popen(command, env=lab_environment(), stdout=stdout)


def _wait(process: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal has told the child as well; it says how to go on.
            continue
