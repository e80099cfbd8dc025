"""A base model that a runner laid out: what the card of a model made from it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from llmos.lab.events import Reporter
from llmos.lab.recipes.load import parse_recipe
from llmos.lab.train.places import locate_model
from llmos.lab.train.run import train

SMALL = """
objective: clm
data: {max_chars: 20000, sources: [{files: ["sample:english.txt"]}]}
training: {max_steps: 1, sequence_length: 32, batch_tokens: 128, threads: 1}
evaluation: {samples: 0, max_examples: 2}
"""


def front_of(card: Path) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(card.read_text(encoding="utf-8").split("---")[1])
    return found


def test_a_base_laid_by_a_runner_passes_on_licence_and_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOS_LAB_CACHE", str(tmp_path / "cache"))
    laid = tmp_path / "inputs" / "0"
    with Reporter(quiet=True) as reporter:
        train(parse_recipe(SMALL + "model: {preset: nano}\npush: {licence: cc-by-sa-4.0}"), laid, reporter)
    assert locate_model(str(laid), None, "model.base")["licence"] == "cc-by-sa-4.0"
    monkeypatch.setenv("LLMOS_INPUTS", json.dumps({"model:ada/base": str(laid)}))
    monkeypatch.setenv("LLMOS_INPUT_REVISIONS", json.dumps({"model:ada/base": "8f" * 20}))
    with Reporter(quiet=True) as reporter:
        train(parse_recipe(SMALL + "model: {base: ada/base}"), tmp_path / "tuned", reporter)
    card = tmp_path / "tuned" / "README.md"
    assert front_of(card)["license"] == "cc-by-sa-4.0"
    text = card.read_text(encoding="utf-8")
    assert f"Started from ada/base at `{'8f' * 6}`" in text
    assert "does not say its licence" not in text
