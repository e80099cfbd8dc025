"""Runs through TRL and PEFT that are gone on with from a checkpoint end like those that never stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from llmos.lab.events import Reporter
from llmos.lab.recipes.load import parse_recipe
from llmos.lab.recipes.schema import Recipe
from llmos.lab.train.run import train

# TRL and transformers tell each other of names to come.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(autouse=True)
def lab_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_LAB_CACHE", str(tmp_path_factory.getbasetemp() / "lab-cache"))


def recipe_of(objective: str, more: str) -> Recipe:
    data = "chat.jsonl" if objective == "sft" else "preferences.jsonl"
    return parse_recipe(
        f"""
objective: {objective}
data: {{sources: [{{files: ["sample:{data}"]}}], held_out: 0.5}}
training: {{max_steps: 4, sequence_length: 160, batch_tokens: 320, threads: 1, precision: fp32}}
evaluation: {{samples: 0, max_examples: 8}}
checkpoints: {{every_steps: 3}}
{more or "model: {preset: nano}"}
"""
    )


@pytest.mark.parametrize(
    ("objective", "has_adapter"), [("sft", False), ("sft", True), ("dpo", False), ("reward", False)]
)
def test_what_is_gone_on_with_ends_the_same(objective: str, has_adapter: bool, tmp_path: Path) -> None:
    more = ""
    with Reporter(quiet=True) as reporter:
        if has_adapter:
            train(recipe_of("sft", ""), tmp_path / "base", reporter)
            more = f'model: {{base: "{tmp_path / "base"}"}}\nlora: {{rank: 2}}'
        recipe = recipe_of(objective, more)
        train(recipe, tmp_path / "whole", reporter)
        kept = tmp_path / "whole" / "checkpoint-3"
        result = train(recipe, tmp_path / "other", reporter, resume=kept)
    assert result.steps == 4
    whole, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "other"))
    assert whole.keys() == other.keys()
    assert all(torch.equal(whole[name], other[name]) for name in whole)
