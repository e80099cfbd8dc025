"""Runs that stop early keep the best weights, here and where they are gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmos.lab.events import Reporter
from llmos.lab.recipes.load import parse_recipe
from llmos.lab.recipes.schema import Recipe
from llmos.lab.train.run import Result, train

# TRL and transformers tell each other of names to come.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(autouse=True)
def lab_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_LAB_CACHE", str(tmp_path_factory.getbasetemp() / "lab-cache"))


def recipe_of(objective: str, patience: int, *, steps: int = 40) -> Recipe:
    """After the warm-up its steps are far too long: the loss falls, and rises again."""
    data = "chat.jsonl" if objective == "sft" else "english.txt"
    options = {
        "max_steps": steps,
        "sequence_length": 64,
        "batch_tokens": 256,
        "threads": 1,
        "precision": "fp32",
    }
    return parse_recipe(
        f"""
objective: {objective}
data: {{max_chars: 30000, held_out: 0.2, sources: [{{files: ["sample:{data}"], unit: paragraph}}]}}
model: {{preset: nano}}
optimiser: {{learning_rate: 0.5}}
schedule: {{name: constant, warmup: 1.0}}
training: {json.dumps(options)}
evaluation: {{every_steps: 1, patience: {patience}, samples: 0, max_examples: 8}}
checkpoints: {{every_steps: 3}}
"""
    )


def run(recipe: Recipe, folder: Path, **more: Any) -> tuple[Result, list[float]]:
    """What came of it, and the losses of the held-out part at each step."""
    with Reporter(quiet=True) as reporter:
        result = train(recipe, folder, reporter, **more)
    return result, [value for _, name, value in reporter.history if name == "eval/loss"]


@pytest.mark.parametrize("objective", ["clm", "sft"])
def test_the_best_weights_are_kept_when_patience_ends(objective: str, tmp_path: Path) -> None:
    result, seen = run(recipe_of(objective, 2), tmp_path)
    assert result.stopped == "no gain in 2 evaluations"
    assert result.steps == result.best_step + 2 < 40
    seen, last = seen[: result.steps], seen[-1]
    assert result.best_step == seen.index(min(seen)) + 1
    assert last == pytest.approx(min(seen), rel=1e-4 if objective == "clm" else 0.1)
    assert result.metrics["loss"] == last < seen[-1]
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert f"The weights are those of step {result.best_step}, chosen for the lowest loss" in card
    assert "**The run ended early.** no gain in 2 evaluations" in card


def test_a_resumed_run_knows_the_best_weights_of_before(tmp_path: Path) -> None:
    """The best step lies before the checkpoint: its weights must have come along."""
    recipe = recipe_of("clm", 50, steps=6)
    recipe.schedule.warmup = 0.0
    whole, _ = run(recipe, tmp_path / "whole")
    assert 0 < whole.best_step <= 3
    other, _ = run(recipe, tmp_path / "other", resume=tmp_path / "whole" / "checkpoint-3")
    assert (other.best_step, other.steps, other.stopped) == (whole.best_step, 6, "")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "other")]
    assert weights[0] == weights[1]
