"""What a run tells and writes down beside its model: defaults with reasons, the recipe in full, progress."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from llmos.lab.__main__ import main

RECIPE = """
objective: clm
data: {max_chars: 20000, held_out: 0.2, sources: [{files: ["sample:english.txt"]}]}
model: {preset: nano}
training: {max_steps: 2, sequence_length: 32, threads: 1, batch_tokens: 128}
evaluation: {samples: 0, max_examples: 8}
"""


@dataclass(frozen=True)
class Told:
    """One run: what its terminal showed, its events, and the folder it left."""

    shown: str
    events: list[dict[str, object]]
    folder: Path


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    base = tmp_path_factory.mktemp("told")
    (base / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    words = [
        "run",
        str(base / "recipe.yaml"),
        "--output",
        str(base / "out"),
        "--events",
        str(base / "events"),
    ]

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as shown:
        patch.setenv("LLMOS_LAB_CACHE", str(tmp_path_factory.getbasetemp() / "lab-cache"))
        assert main([*words, "--defaults"]) == 0
    events = [json.loads(line) for line in (base / "events").read_text(encoding="utf-8").splitlines()]
    return Told(shown.getvalue(), events, base / "out")


def test_every_default_is_said_with_its_reason(told: Told) -> None:
    log = [str(event["text"]) for event in told.events if event["kind"] == "log"]
    for lines in (told.shown.splitlines(), log):
        [rate] = [line for line in lines if line.startswith("optimiser.learning_rate")]
        assert rate.split(maxsplit=2)[1:] == ["0.004", "preset nano"]
        assert any(line.startswith("schedule.warmup") and "young moments are noise" in line for line in lines)
