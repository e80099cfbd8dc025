"""Options beside the objective: adapters, recomputed layers, rows that are too long."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import PeftModel

from llmos.core.errors import LlmosError
from llmos.lab.data.errors import DataError
from llmos.lab.events import Reporter
from llmos.lab.recipes.load import parse_recipe
from llmos.lab.recipes.schema import TUNED_BY_TRL, Recipe
from llmos.lab.samples import sample
from llmos.lab.train.run import prepare, train

# TRL and transformers tell each other of names to come.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

DATA = {
    "clm": "english.txt",
    "mlm": "english.txt",
    "seq2seq": "english.txt",
    "sft": "chat.jsonl",
    "classify": "centuries.jsonl",
    "tag": "tags.jsonl",
    "qa": "questions.jsonl",
    "summarize": "headings.jsonl",
    "reward": "preferences.jsonl",
    "dpo": "preferences.jsonl",
}
SIZES = {
    "llama": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 16},
    "bert": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
    "bart": {
        f"{side}_{name}": size
        for side in ("encoder", "decoder")
        for name, size in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 32))
    }
    | {"d_model": 32},
}
SIZES |= {"roberta": SIZES["bert"], "xlm-roberta": SIZES["bert"], "gpt2": {"n_embd": 32, "n_layer": 2}}


def recipe_of(objective: str, model: dict[str, Any], *, more: str = "", **training: Any) -> Recipe:
    length = 160 if objective in TUNED_BY_TRL else 48  # an answer needs room behind its question
    options = {
        "max_steps": 3,
        "sequence_length": length,
        "batch_tokens": 4 * length,
        "threads": 1,
        "precision": "fp32",
    }
    words = "" if "base" in model else "tokenizer: {train: {type: bpe, vocab_size: 384}}"
    return parse_recipe(
        f"""
objective: {objective}
data:
  max_documents: 24
  held_out: 0.3
  sources: [{{files: ["{sample(DATA[objective])}"], unit: paragraph}}]
{words}
model: {json.dumps({"preset": "nano"} | model)}
training: {json.dumps(options | training)}
evaluation: {{samples: 0, max_examples: 2}}
{more}
"""
    )


def new(family: str, **overrides: Any) -> dict[str, Any]:
    return {"family": family, "overrides": SIZES[family] | overrides}


@pytest.fixture(autouse=True)
def lab_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_LAB_CACHE", str(tmp_path_factory.getbasetemp() / "lab-cache"))


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small model of each kind to go on from."""
    folder = tmp_path_factory.mktemp("bases")
    made = {"llama": "sft", "bert": "mlm", "bart": "seq2seq"}
    with pytest.MonkeyPatch.context() as patch, Reporter(quiet=True) as reporter:
        patch.setenv("LLMOS_LAB_CACHE", str(folder / "cache"))
        for family, objective in made.items():
            train(recipe_of(objective, new(family)), folder / family, reporter)
    return {family: folder / family for family in made}


# Recomputed layers


def losses_and_passes(recipe: Recipe, output: Path) -> tuple[list[float], int]:
    """The losses of a run, and how often its first layer was computed in a step."""
    passes = []

    def watch(trainer: Any) -> None:
        ends = ("layers.0.self_attn", "layer.0.attention")
        layer = next(m for name, m in trainer.model.named_modules() if name.endswith(ends))
        layer.register_forward_pre_hook(lambda module, _: passes.append(1) if module.training else None)

    with Reporter(quiet=True) as reporter:
        result = train(recipe, output, reporter, changed=watch)
    return [x for _, name, x in reporter.history if name == "train/loss"], len(passes) // result.steps


@pytest.mark.parametrize(("objective", "family", "lora"), [("clm", "llama", True), ("mlm", "bert", False)])
def test_layers_computed_again_learn_the_same(
    objective: str, family: str, lora: bool, bases: dict[str, Path], tmp_path: Path
) -> None:
    model = {"base": str(bases[family])} if lora else new(family)
    more = "lora: {rank: 2}\noptimiser: {learning_rate: 0.01}" if lora else ""
    plain, once = losses_and_passes(recipe_of(objective, model, more=more), tmp_path / "plain")
    recipe = recipe_of(objective, model, more=more, gradient_checkpointing=True)
    saved, twice = losses_and_passes(recipe, tmp_path / "saved")
    assert saved == pytest.approx(plain, rel=1e-5)
    assert twice == 2 * once
    assert saved[-1] != saved[0]


# Adapters

HEADS = {
    "clm": ("llama", "CausalLM", ""),
    "sft": ("llama", "CausalLM", ""),
    "dpo": ("llama", "CausalLM", ""),
    "reward": ("llama", "SequenceClassification", "score"),
    "mlm": ("bert", "MaskedLM", ""),
    "classify": ("bert", "SequenceClassification", "classifier"),
    "tag": ("bert", "TokenClassification", "classifier"),
    "qa": ("bert", "QuestionAnswering", "qa_outputs"),
    "seq2seq": ("bart", "Seq2SeqLM", ""),
    "summarize": ("bart", "Seq2SeqLM", ""),
}


@pytest.mark.parametrize("objective", [n for n in HEADS if n not in ("clm", *TUNED_BY_TRL)])
def test_an_adapter_suits_every_objective(objective: str, bases: dict[str, Path], tmp_path: Path) -> None:
    family, head, fresh = HEADS[objective]
    trained: list[str] = []

    def watch(trainer: Any) -> None:
        trained.extend(name for name, p in trainer.model.named_parameters() if p.requires_grad)

    more = "lora: {rank: 2}\noptimiser: {learning_rate: 0.01}"
    recipe = recipe_of(objective, {"base": str(bases[family])}, more=more)
    with Reporter(quiet=True) as reporter:
        result = train(recipe, tmp_path / "out", reporter, changed=watch)
    assert result.trained_parameters < result.parameters / 3
    # A new head would stay as it was drawn if only the adapter moved.
    assert any(fresh in name and "lora" not in name for name in trained) == bool(fresh)
    kind = getattr(transformers, f"AutoModelFor{head}")
    after, found = kind.from_pretrained(str(tmp_path / "out"), output_loading_info=True)
    assert not any(found.values()), found
    before = dict(transformers.AutoModel.from_pretrained(str(bases[family])).named_parameters())
    moved = {
        name
        for name, p in getattr(after, after.base_model_prefix).named_parameters()
        if name in before and "pooler" not in name and not torch.equal(p, before[name])
    }
    assert moved
    assert all(name.endswith("weight") and "orm" not in name and "embed" not in name for name in moved), moved


@pytest.mark.parametrize("objective", ["clm", "sft", "dpo", "reward", "classify"])
def test_an_adapter_alone_says_what_the_merged_model_says(
    objective: str, bases: dict[str, Path], tmp_path: Path
) -> None:
    family, head, _ = HEADS[objective]
    for merge in ("true", "false"):
        more = f"lora: {{rank: 2, merge: {merge}}}\noptimiser: {{learning_rate: 0.01}}"
        with Reporter(quiet=True) as reporter:
            train(recipe_of(objective, {"base": str(bases[family])}, more=more), tmp_path / merge, reporter)
    left = {path.name for path in (tmp_path / "false").rglob("*.safetensors")}
    assert left == {"adapter_model.safetensors"}
    kind = getattr(transformers, f"AutoModelFor{head}")
    merged = kind.from_pretrained(str(tmp_path / "true")).eval()
    labels = {"num_labels": merged.config.num_labels} if objective in ("classify", "reward") else {}
    base = kind.from_pretrained(str(bases[family]), **labels)
    alone = PeftModel.from_pretrained(base, str(tmp_path / "false")).eval()
    ids = torch.arange(10, 30)[None]
    with torch.no_grad():
        assert torch.allclose(alone(input_ids=ids).logits, merged(input_ids=ids).logits, atol=1e-4)
        plain = kind.from_pretrained(str(bases[family])).eval()
        assert labels or not torch.allclose(
            plain(input_ids=ids).logits, merged(input_ids=ids).logits, atol=1e-4
        )


# Rows


def test_rows_without_room_for_an_answer_are_named(bases: dict[str, Path], tmp_path: Path) -> None:
    recipe = recipe_of("sft", {"base": str(bases["llama"])}, sequence_length=16)
    with Reporter(quiet=True) as reporter, pytest.raises(DataError, match=r"Raise training\.sequence_length"):
        train(recipe, tmp_path, reporter)


@pytest.mark.parametrize(
    ("objective", "family", "positions"),
    [
        ("clm", "gpt2", 16),
        ("sft", "llama", 16),
        ("mlm", "bert", 16),
        ("classify", "roberta", 15),
        ("tag", "xlm-roberta", 15),
        ("qa", "bert", 16),
        ("seq2seq", "bart", 16),
        ("summarize", "bart", 16),
    ],
)
def test_rows_longer_than_the_model_are_refused(
    objective: str, family: str, positions: int, tmp_path: Path
) -> None:
    name = "n_positions" if family == "gpt2" else "max_position_embeddings"
    recipe = recipe_of(objective, new(family, **{name: 16}))
    words = rf"training.sequence_length: \d+ is longer than the model's {positions} positions"
    with Reporter(quiet=True) as reporter, pytest.raises(LlmosError, match=words):
        prepare(recipe, tmp_path, reporter)


def test_pairs_without_room_are_counted(bases: dict[str, Path], tmp_path: Path) -> None:
    recipe = recipe_of("reward", {"base": str(bases["llama"])}, sequence_length=112, max_steps=1)
    with Reporter(quiet=True, events=str(tmp_path / "events.jsonl")) as reporter:
        train(recipe, tmp_path / "out", reporter)
    found = re.search(r"(\d+) of (\d+) examples are left out", (tmp_path / "events.jsonl").read_text())
    assert found
    assert 0 < int(found[1]) < int(found[2])


def test_rows_fit_a_base_where_nothing_was_said(bases: dict[str, Path], tmp_path: Path) -> None:
    recipe = recipe_of("classify", {"base": str(bases["bert"])})
    recipe.training = recipe.training.model_copy(update={"sequence_length": None})
    recipe.training.model_fields_set.discard("sequence_length")
    with Reporter(quiet=True) as reporter:
        run = prepare(recipe, tmp_path, reporter)
    assert run.recipe.training.sequence_length == 48
