"""What `--dry-run` says a run will take, against the run itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmos.lab.events import Reporter
from llmos.lab.recipes.load import parse_recipe
from llmos.lab.recipes.schema import Recipe
from llmos.lab.train.estimate import estimate
from llmos.lab.train.run import train

# TRL and transformers tell each other of names to come.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(autouse=True)
def calibrated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_LAB_CACHE", str(tmp_path_factory.getbasetemp() / "lab-cache"))
    monkeypatch.setattr("llmos.lab.train.estimate.CALIBRATION_S", 0.01)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    with pytest.MonkeyPatch.context() as patch, Reporter(quiet=True) as reporter:
        patch.setenv("LLMOS_LAB_CACHE", str(tmp_path_factory.getbasetemp() / "lab-cache"))
        train(recipe_of("sft", "model: {preset: nano}"), folder, reporter)
    return folder


def recipe_of(objective: str, more: str) -> Recipe:
    data = "chat.jsonl" if objective == "sft" else "english.txt"
    options = {"max_steps": 2, "sequence_length": 64, "batch_tokens": 256, "threads": 1}
    return parse_recipe(
        f"""
objective: {objective}
data: {{max_chars: 30000, sources: [{{files: ["sample:{data}"]}}]}}
training: {json.dumps(options)}
evaluation: {{samples: 0, max_examples: 2}}
{more}
"""
    )


@pytest.mark.parametrize(("objective", "is_lora"), [("clm", False), ("mlm", False), ("sft", True)])
def test_an_estimate_is_that_of_the_run(objective: str, is_lora: bool, tmp_path: Path, base: Path) -> None:
    more = f'model: {{base: "{base}"}}\nlora: {{rank: 2}}' if is_lora else "model: {preset: nano}"
    recipe = recipe_of(objective, more)
    with Reporter(quiet=True) as reporter:
        found = estimate(recipe, reporter)
        result = train(recipe, tmp_path, reporter)
    assert (found.parameters, found.trained_parameters) == (result.parameters, result.trained_parameters)
    assert (found.steps, found.tokens) == (result.steps, 2 * 256)
    assert found.tokens_per_second > 0
    assert found.memory_bytes > 4 * found.parameters + 12 * found.trained_parameters


def test_an_adapter_needs_less_memory_than_full_tuning(base: Path) -> None:
    with Reporter(quiet=True) as reporter:
        whole = estimate(recipe_of("sft", f'model: {{base: "{base}"}}'), reporter)
        adapter = estimate(recipe_of("sft", f'model: {{base: "{base}"}}\nlora: {{rank: 2}}'), reporter)
    assert whole.trained_parameters == whole.parameters > 10 * adapter.trained_parameters
    assert whole.memory_bytes - adapter.memory_bytes > 10 * whole.parameters
