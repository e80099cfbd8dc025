"""Only what the assistant says is learnt: the labels of a batch of sft as the model gets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmos.lab.events import Reporter
from llmos.lab.objectives.base import IGNORED
from llmos.lab.recipes.load import parse_recipe
from llmos.lab.tokenizers.specials import CHAT_TEMPLATE as WITH_MARKS
from llmos.lab.train.run import prepare
from llmos.lab.train.tuning import make_tuner

# TRL and transformers tell each other of names to come.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

# As most models have it, SmolLM2 among them.
WITHOUT_MARKS = WITH_MARKS.replace("{% generation %}", "").replace("{% endgeneration %}", "")
TURNS = [
    {"role": "user", "content": "count for me"},
    {"role": "assistant", "content": "one two"},
    {"role": "user", "content": "go on please"},
    {"role": "assistant", "content": "three four"},
]


@pytest.mark.parametrize(
    ("example", "template", "learnt"),
    [
        ({"messages": TURNS}, WITH_MARKS, ["one two", "three four"]),
        ({"messages": TURNS}, WITHOUT_MARKS, ["three four"]),
        ({"prompt": "count for me:", "completion": " one two"}, WITH_MARKS, ["one two"]),
        ({"prompt": TURNS[:1], "completion": TURNS[1:2]}, WITHOUT_MARKS, ["one two"]),
    ],
    ids=["marked", "unmarked", "texts", "turns"],
)
def test_what_is_asked_is_read_and_not_learnt(
    example: dict[str, object],
    template: str,
    learnt: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLMOS_LAB_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "chat.jsonl"
    path.write_text((json.dumps(example) + "\n") * 4)
    recipe = parse_recipe(
        f"""
objective: sft
data: {{sources: [{{files: ["{path}"]}}], held_out: 0, cleaning: {{dedup: none}}}}
tokenizer: {{train: {{vocab_size: 384}}}}
model: {{preset: nano, overrides: {{hidden_size: 32, num_hidden_layers: 1}}}}
training: {{max_steps: 1, sequence_length: 128, batch_tokens: 512, threads: 1}}
"""
    )
    with Reporter(quiet=True) as reporter:
        run = prepare(recipe, tmp_path / "out", reporter)
        run.tokenizer.chat_template = template
        trainer, _ = make_tuner(run, reporter, 2)
        batch = next(iter(trainer.get_train_dataloader()))
    for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        counted = labels != IGNORED
        assert (labels[counted] == ids[counted]).all()
        told, asked = run.tokenizer.decode(ids[counted]), run.tokenizer.decode(ids[~counted])
        assert [words for words in ("one two", "three four") if words in told] == learnt
        assert not any(words in asked for words in learnt)
        assert "count for me" in asked
        assert "count" not in told
        assert "please" not in told
        is_text = isinstance(example.get("completion"), str)
        assert (run.tokenizer.eos_token if is_text else "<|im_end|>") in told
