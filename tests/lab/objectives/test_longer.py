"""Examples longer than a row are cut, dropped or refused, as the recipe says; rows are filled as it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmos.lab.data.errors import DataError
from llmos.lab.events import Reporter
from llmos.lab.objectives.labelled import Answers, Classes
from llmos.lab.objectives.make import make_objective
from llmos.lab.recipes.load import parse_recipe
from llmos.lab.recipes.schema import PRETRAINING
from llmos.lab.tokenizers.specials import CHAT_TEMPLATE
from llmos.lab.train.run import Run, prepare
from llmos.lab.train.tuning import make_tuner

# TRL and transformers tell each other of names to come.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

SHORT, LONG, LENGTH = 12, 1, 32
NO_RNG: Any = np.random.default_rng(0)


def row(objective: str, number: int, words: int) -> dict[str, Any]:
    said = [f"w{number}", *["so"] * words]
    text, label = " ".join(said), "ab"[number % 2]
    return {
        "clm": {"text": text},
        "mlm": {"text": text},
        "seq2seq": {"text": text},
        "classify": {"text": text, "label": label},
        "tag": {"tokens": said, "tags": [label] * len(said)},
        "qa": {"question": "so?", "context": text, "answer": f"w{number}"},
        "summarize": {"text": text, "summary": f"w{number}"},
        "translate": {"source": f"w{number}", "target": text},
        "sft": {
            "messages": [{"role": "user", "content": f"w{number}"}, {"role": "assistant", "content": text}]
        },
    }[objective]


@pytest.fixture
def run_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("LLMOS_LAB_CACHE", str(tmp_path / "cache"))

    def make(objective: str, **options: str) -> Run:
        rows = [row(objective, n, 60 if n < LONG else 4) for n in range(LONG + SHORT)]
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in rows))
        recipe = parse_recipe(
            f"""
objective: {objective}
data: {json.dumps({"sources": [{"files": [str(path)]}], "held_out": 0, **options})}
tokenizer: {{train: {{type: bpe, vocab_size: 384, min_frequency: 1}}}}
model: {{preset: nano}}
training: {{max_steps: 1, sequence_length: {LENGTH}, batch_tokens: 64, threads: 1}}
"""
        )
        with Reporter(quiet=True) as reporter:
            return prepare(recipe, tmp_path / "out", reporter)

    return make


def lengths_of(run: Run) -> list[int]:
    """Tokens of each training example, as the model reads them."""
    if run.recipe.objective == "sft":
        run.tokenizer.chat_template = CHAT_TEMPLATE
        with Reporter(quiet=True) as reporter:
            trainer, _ = make_tuner(run, reporter, 2)
        return list(map(len, trainer.train_dataset["input_ids"]))
    made = make_objective(run.recipe, run.corpus, run.tokenizer, run.labels, cache=run.cache)
    if run.recipe.objective in PRETRAINING:
        return [int((one["document_ids"] >= 0).sum()) for one in made.train]
    rows = [made.example(made.train, n, NO_RNG) for n in range(len(made.train))]
    sides = ("input_ids", "labels") if run.recipe.objective in ("summarize", "translate") else ("input_ids",)
    return [max(len(one[side]) for side in sides) for one in rows]


OWN = ("classify", "tag", "qa", "summarize", "translate", "sft")
WHOLE = tuple((name, mode) for name in sorted(PRETRAINING) for mode in ("none", "fit"))


@pytest.mark.parametrize(("objective", "packing"), [*((name, None) for name in OWN), *WHOLE])
def test_longer(objective: str, packing: str | None, run_of: Any) -> None:
    options = {"packing": packing} if packing else {}
    cut = lengths_of(run_of(objective, **options))
    dropped = lengths_of(run_of(objective, longer="drop", **options))
    assert max(cut) == LENGTH
    assert max(dropped) <= LENGTH
    if packing == "fit":
        assert len(cut) < SHORT
        assert sum(cut) - sum(dropped) == LENGTH
    else:
        assert (len(cut), len(dropped)) == (SHORT + LONG, SHORT)
        assert sorted(dropped) == sorted(cut)[:-1]
    with pytest.raises(
        DataError, match=rf"1 of 13 examples are longer than the sequence length of {LENGTH} tok"
    ):
        lengths_of(run_of(objective, longer="error", **options))


@pytest.mark.parametrize("objective", sorted(PRETRAINING))
def test_a_stream_loses_nothing(objective: str, run_of: Any) -> None:
    run = run_of(objective)
    found = lengths_of(run)
    assert {*found[:-1]} == {LENGTH}
    assert run.recipe.data.packing == "stream"


def test_all_too_long_is_said(run_of: Any) -> None:
    rows = [row("classify", n, 60) for n in range(3)]
    with pytest.raises(DataError, match=r"All 3 examples are longer than 32 tokens"):
        Classes(rows, [], run_of("classify").tokenizer, ["a", "b"], length=LENGTH, longer="drop")


def test_what_was_left_out_is_told(run_of: Any) -> None:
    run = run_of("classify", longer="drop")
    assert make_objective(run.recipe, run.corpus, run.tokenizer, run.labels, cache=run.cache).dropped == 1


def test_a_question_that_fills_the_row_is_cut(run_of: Any) -> None:
    """What is left of its context may hold no answer; the first token then stands for "not here"."""
    long = {"question": "so " * 60, "context": "so w1 so", "answer": "w1"}
    made = Answers([long], [], run_of("qa").tokenizer, length=LENGTH, longer="cut")
    found = made.example(made.train, 0, NO_RNG)
    assert len(found["input_ids"]) == LENGTH
    assert 0 <= found["start"] <= found["end"] < LENGTH
