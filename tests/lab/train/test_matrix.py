"""Every objective with every family it can have: trained, saved, and loaded again by transformers alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import get_args

import pytest
import torch
import transformers

from llmos.lab.events import Reporter
from llmos.lab.recipes.load import parse_recipe
from llmos.lab.recipes.schema import FAMILY_OF, TUNED_BY_TRL, Family, Objective, Recipe
from llmos.lab.samples import sample
from llmos.lab.train.run import train

# TRL and transformers tell each other of names to come.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

DATA = {
    "clm": "english.txt",
    "mlm": "english.txt",
    "seq2seq": "chinese.txt",
    "sft": "chat.jsonl",
    "classify": "centuries.jsonl",
    "tag": "tags.jsonl",
    "qa": "questions.jsonl",
    "summarize": "headings.jsonl",
    "translate": "pairs.jsonl",
}
HEADS = {
    "clm": "CausalLM",
    "mlm": "MaskedLM",
    "seq2seq": "Seq2SeqLM",
    "classify": "SequenceClassification",
    "reward": "SequenceClassification",
    "tag": "TokenClassification",
    "qa": "QuestionAnswering",
    "summarize": "Seq2SeqLM",
    "translate": "Seq2SeqLM",
}
DECODER = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "intermediate_size": 32,
}
ENCODER = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
T5 = {"d_model": 32, "d_kv": 16, "d_ff": 32, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2}
BART = {
    f"{side}_{name}": size
    for side in ("encoder", "decoder")
    for name, size in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 32))
}
SIZES: dict[str, dict[str, int]] = {
    "llama": DECODER,
    "qwen": DECODER,
    "gpt2": {"n_embd": 32, "n_layer": 1, "n_head": 2},
    "bert": ENCODER,
    "roberta": ENCODER,
    "xlm-roberta": ENCODER,
    "albert": ENCODER | {"embedding_size": 16},
    "t5": T5,
    "bart": BART | {"d_model": 32},
}


PAIRS = [(objective, family) for objective, families in FAMILY_OF.items() for family in families]


def test_no_objective_and_no_family_is_left_out() -> None:
    assert {*FAMILY_OF} == {*get_args(Objective)}
    assert {family for families in FAMILY_OF.values() for family in families} == {*get_args(Family)}


def recipe_of(objective: str, family: str, data: Path) -> Recipe:
    # Judges leave out pairs that are too long.
    length = 128 if objective in TUNED_BY_TRL else 32
    options = {"max_steps": 2, "sequence_length": length, "batch_tokens": 4 * length, "threads": 1}
    return parse_recipe(
        f"""
objective: {objective}
data:
  max_documents: 24
  held_out: 0.3
  sources: [{{files: ["{data}"], unit: paragraph}}]
tokenizer: {{train: {{vocab_size: 384}}}}
model: {{preset: nano, family: {family}, overrides: {json.dumps(SIZES[family])}}}
training: {json.dumps(options)}
evaluation: {{samples: 0, max_examples: 2}}
"""
    )


def data_of(objective: str, folder: Path) -> Path:
    if objective != "kto":
        return sample(DATA.get(objective, "preferences.jsonl"))
    lines = []
    for line in sample("preferences.jsonl").read_text(encoding="utf-8").splitlines():
        pair = json.loads(line)
        for answer, label in (("chosen", True), ("rejected", False)):
            lines.append({"prompt": pair["prompt"], "completion": pair[answer], "label": label})
    path = folder / "judged.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(("objective", "family"), PAIRS)
def test_it_trains_and_loads(
    objective: str, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOS_LAB_CACHE", str(tmp_path / "cache"))
    recipe = recipe_of(objective, family, data_of(objective, tmp_path))
    with Reporter(quiet=True) as reporter:
        result = train(recipe, tmp_path / "out", reporter)
    assert result.steps == 2
    losses = [value for _, name, value in reporter.history if name == "train/loss"]
    assert losses
    assert all(map(math.isfinite, [*losses, result.metrics["loss"]]))
    head = getattr(transformers, f"AutoModelFor{HEADS.get(objective, 'CausalLM')}")
    model, found = head.from_pretrained(str(tmp_path / "out"), output_loading_info=True)
    assert not any(found.values()), found
    assert sum(p.numel() for p in model.parameters()) == result.parameters
    words = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "out"))
    asked = dict(words("The people 人民", return_tensors="pt", return_token_type_ids=False))
    if model.config.is_encoder_decoder:
        asked["decoder_input_ids"] = asked["input_ids"]
    with torch.no_grad():
        out = model(**asked)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in out.to_tuple() if torch.is_tensor(tensor))
