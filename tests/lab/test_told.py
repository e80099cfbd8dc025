"""What a run tells and writes down beside its model: defaults with reasons, the recipe in full, progress."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from llmos.lab.__main__ import main
from llmos.lab.events import Reporter
from llmos.lab.outputs.settings import pinned, resolved_text
from llmos.lab.recipes.load import parse_recipe
from llmos.lab.recipes.resolve import resolve
from llmos.lab.train.callbacks import Course
from llmos.lab.train.trainer import Clock

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


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


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


def test_hyper_parameters_are_recorded_as_they_were_used(told: Told) -> None:
    text = (told.folder / "recipe.resolved.yaml").read_text(encoding="utf-8")
    used = parse_recipe(text)
    assert (used.optimiser.learning_rate, used.optimiser.weight_decay, used.optimiser.beta2) == (
        4e-3,
        0.1,
        0.95,
    )
    assert used.tokenizer.train is not None
    assert (used.tokenizer.train.type, used.tokenizer.train.vocab_size) == ("bpe", 1024)
    assert resolve(used)[1] == [], "nothing is left open"
    metrics = json.loads((told.folder / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["resolved"]["optimiser"]["learning_rate"] == 4e-3
    config = json.loads((told.folder / "config.json").read_text(encoding="utf-8"))
    assert metrics["shape"] == {
        "family": "llama", "width": 128, "layers": 2, "heads": 2, "vocabulary": config["vocab_size"],
        "positions": 32,
    }  # fmt: skip
    assert (metrics["rows_per_step"], metrics["precision"] in ("fp32", "bf16")) == (4, True)
    card = (told.folder / "README.md").read_text(encoding="utf-8")
    assert f"- Model: llama, width 128, layers 2, heads 2, vocabulary {config['vocab_size']:,}" in card
    assert "- Optimiser: adamw, learning rate 0.004, cosine, weight decay 0.1, betas 0.9 and 0.95" in card
    assert "- Batch: 4 rows of at most 32 tokens" in card
    # As it was written it stays what others fork and compare.
    assert "learning_rate" not in (told.folder / "recipe.yaml").read_text(encoding="utf-8")


def test_what_was_read_is_pinned_in_the_recipe_as_used() -> None:
    full, _ = resolve(
        parse_recipe("objective: clm\ndata: {sources: [{dataset: ada/a}]}\nmodel: {base: ada/b}")
    )
    used = pinned(full, {"name": "ada/b", "revision": "b" * 40}, [{"dataset": "ada/a", "revision": "a" * 40}])
    found = parse_recipe(resolved_text(used))
    assert (found.data.sources[0].revision, found.model.revision) == ("a" * 40, "b" * 40)
    assert full.model.revision is None


def test_a_terminal_shows_a_bar_and_nobody_else(told: Told) -> None:
    seen = [event for event in told.events if event["kind"] == "progress" and event["unit"] == "%"]
    assert [event["done"] for event in seen] == [50, 100]
    assert "of 100 %" not in told.shown
    clock = Clock(max_steps=4, max_minutes=None)
    for stream, is_drawn in ((Terminal(), True), (StringIO(), False)):
        with redirect_stdout(stream), Reporter() as reporter:
            course = Course(parse_recipe(RECIPE), clock, reporter)
            arguments = TrainingArguments("unused", report_to=[])
            state, control = TrainerState(global_step=2), TrainerControl()
            course.on_step_end(arguments, state, control)
            course.on_train_end(arguments, state, control)
            reporter.say("the end")
        text = stream.getvalue()
        assert (f"Training, 0 s left [{'#' * 15}{'.' * 15}] 50 of 100 %\nthe end\n" in text) == is_drawn
        assert text.endswith("the end\n")
