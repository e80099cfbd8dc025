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

    Raises Unavailable where none is installed.
    """
    named = os.environ.get("LLMOS_LAB_PYTHON")
    own = Path(llmos.__path__[0]).parents[1] / ".venv-lab" / "bin" / "python"
    if named or own.exists():
        return named or str(own)
    if all(importlib.util.find_spec(name) for name in ("torch", "trl", "peft")):
        return sys.executable
    raise Unavailable("The training side is not installed. Install it with: make setup-lab")


def run_lab(arguments: list[str]) -> int:
    """Run `python -m llmos.lab` with this terminal; its exit code."""
    environment = {**ENVIRONMENT, **os.environ}
    source = str(Path(llmos.__path__[0]).parent)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    if Path(source).name == "site-packages":
        # Installed side by side with the hub's libraries, which must not hide the lab's own.
        environment.pop("PYTHONPATH")
    process = subprocess.Popen([lab_python(), "-m", "llmos.lab", *arguments], env=environment)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal has told the child as well; it says how to go on.
            continue
