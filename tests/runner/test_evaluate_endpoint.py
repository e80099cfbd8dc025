"""A model that the hub serves is evaluated through its address, and answers as it does at home."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import llmos
from kit.server import LiveServer
from kit.serving import tiny_chat_model

BENCHMARK = Path(llmos.__path__[0]) / "lab" / "samples" / "benchmarks" / "tang-cloze"


@pytest.mark.slow
def test_the_address_answers_as_the_model_does(
    engine_runner: LiveServer, chat_model: str, tmp_path: Path
) -> None:
    def run(name: str, *options: object) -> list[dict[str, Any]]:
        env = {**engine_runner.env, "HF_TOKEN": engine_runner.tokens["ada"]}
        env |= {"LLMOS_LAB_PYTHON": sys.executable, "LLMOS_HOME": str(tmp_path / "home")}
        words = ["eval", "run", *options, "--benchmark", BENCHMARK, "--limit", 4, "--threads", 1]
        words += ["--bundle", tmp_path / name, "--json"]
        command = [sys.executable, "-m", "llmos.cli", *map(str, words)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["log_entry"] is None
        rows: list[dict[str, Any]] = pq.read_table(tmp_path / name / "samples.parquet").to_pylist()
        return rows

    address = ("--endpoint", engine_runner.url, "--endpoint-model", chat_model)
    there = run("there", *address, "--endpoint-key-variable", "HF_TOKEN")
    here = run("here", "--model", tiny_chat_model(tmp_path / "model"))
    assert [row["chosen"] for row in there] == [row["chosen"] for row in here]
    for one, other in zip(there, here, strict=True):
        assert one["logprobs"] == pytest.approx(other["logprobs"], abs=1e-3)
