"""Killed at every step of writing and of collecting: the chunk store is whole and work goes on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kit.programs import run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("operation", "least_steps"), [("upload", 8), ("shard", 12), ("grant", 8), ("collect", 8)]
)
def test_killed_at_every_step(tmp_path: Path, operation: str, least_steps: int) -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("LLMOS_")}
    env["PYTHONPATH"] = str(Path(__file__).parents[1])
    done = run([sys.executable, "-m", "stress.xet_points", str(tmp_path), operation], env)
    assert int(done.stdout) >= least_steps, "the test has tested nothing"
