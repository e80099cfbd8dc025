"""Dialogues, preferences and adapters through TRL and PEFT, at tiny size."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from llmos.lab.events import Reporter
from llmos.lab.outputs.push import published_files
from llmos.lab.recipes.load import parse_recipe
from llmos.lab.recipes.schema import TUNED_BY_TRL, Recipe
from llmos.lab.samples import sample
from llmos.lab.train.run import train

# TRL and transformers tell each other of names to come.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(autouse=True)
def lab_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_LAB_CACHE", str(tmp_path_factory.getbasetemp() / "lab-cache"))


def recipe_of(objective: str, data: Path, more: str = "") -> Recipe:
    # Judges leave out pairs that are too long, and an interval takes eight (of kto: batches).
    length = 160 if objective == "reward" else 64
    return parse_recipe(
        f"""
objective: {objective}
data: {{sources: [{{files: ["{data}"]}}], held_out: 0.5}}
training: {{max_steps: 3, sequence_length: {length}, batch_tokens: 256, threads: 1}}
evaluation: {{samples: 1, sample_tokens: 4, max_examples: {18 if objective == "kto" else 8}}}
{more or "model: {preset: nano}"}
"""
    )


def judged(folder: Path) -> Path:
    """Answers marked good or bad, from pairs of a better and a worse one."""
    lines = []
    for line in sample("preferences.jsonl").read_text(encoding="utf-8").splitlines():
        pair = json.loads(line)
        lines.append({"prompt": pair["prompt"], "completion": pair["chosen"], "label": True})
        lines.append({"prompt": pair["prompt"], "completion": pair["rejected"], "label": False})
    path = folder / "judged.jsonl"
    path.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("objective", TUNED_BY_TRL)
def test_objective(objective: str, tmp_path: Path) -> None:
    names = {"sft": "chat.jsonl"}
    data = judged(tmp_path) if objective == "kto" else sample(names.get(objective, "preferences.jsonl"))
    with Reporter(quiet=True) as reporter:
        result = train(recipe_of(objective, data), tmp_path / "out", reporter)
    assert result.steps == 3
    # Three steps of two rows, or pairs, or more; padding is not counted.
    assert 0 < result.tokens < 3 * result.rows_per_step * 2 * 160
    assert f"3 steps, {result.tokens:,} tokens" in (tmp_path / "out" / "README.md").read_text()
    assert math.isfinite(result.metrics["loss"])
    assert result.metrics["loss_low"] <= result.metrics["loss"] <= result.metrics["loss_high"]
    assert any(name == "train/loss" for _, name, _ in reporter.history)
    names_left = {path.name for path in (tmp_path / "out").rglob("*")}
    assert "model.safetensors" in names_left
    assert "training_args.bin" not in names_left


def test_a_chat_template_that_marks_no_answers(tmp_path: Path) -> None:
    """As most models' do, SmolLM2's among them: the last answer of each dialogue is learnt."""
    from transformers import AutoTokenizer

    from kit.serving import CHAT_TEMPLATE

    with Reporter(quiet=True) as reporter:
        train(recipe_of("sft", sample("chat.jsonl")), tmp_path / "base", reporter)
        tokenizer = AutoTokenizer.from_pretrained(str(tmp_path / "base"))
        tokenizer.chat_template = CHAT_TEMPLATE
        tokenizer.save_pretrained(str(tmp_path / "base"))
        more = f'model: {{base: "{tmp_path / "base"}"}}\nlora: {{rank: 2}}'
        result = train(recipe_of("sft", sample("chat.jsonl"), more), tmp_path / "tuned", reporter)
    assert math.isfinite(result.metrics["loss"])
    assert AutoTokenizer.from_pretrained(str(tmp_path / "tuned")).chat_template == CHAT_TEMPLATE


def test_an_adapter_is_kept_and_merged(tmp_path: Path) -> None:
    with Reporter(quiet=True) as reporter:
        train(recipe_of("sft", sample("chat.jsonl")), tmp_path / "base", reporter)
        more = f'model: {{base: "{tmp_path / "base"}"}}\nlora: {{rank: 2, dora: true}}'
        result = train(recipe_of("sft", sample("chat.jsonl"), more), tmp_path / "tuned", reporter)
    assert result.trained_parameters < result.parameters / 10
    assert (tmp_path / "tuned" / "adapter" / "adapter_model.safetensors").exists()
    for name, path in published_files(tmp_path / "tuned").items():
        assert str(tmp_path).encode() not in path.read_bytes(), name
    before, after = (_weights(tmp_path / name) for name in ("base", "tuned"))
    assert before.keys() == after.keys()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert moved
    assert all("proj" in name for name in moved)


def _weights(folder: Path) -> dict[str, Any]:
    model = AutoModelForCausalLM.from_pretrained(str(folder))
    return dict(model.named_parameters())
