"""The search for better values: the recipe itself among the trials, failures told, the best written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmos.core.errors import LlmosError
from llmos.lab.__main__ import main
from llmos.lab.events import Reporter
from llmos.lab.recipes.load import load_recipe, parse_recipe
from llmos.lab.train.run import train
from llmos.lab.train.search import Span, parse_span, search, variant

RECIPE = """
objective: clm
data: {sources: [{files: ["sample:english.txt"], unit: paragraph}], max_chars: 20000, held_out: 0.2}
model: {preset: nano}
training: {max_steps: 4, sequence_length: 64, batch_tokens: 512, threads: 1}
evaluation: {max_examples: 8, every_steps: 2}
"""


@pytest.fixture(autouse=True)
def lab_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_LAB_CACHE", str(tmp_path_factory.getbasetemp() / "lab-cache"))


def test_the_best_of_the_trials_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE)
    words = ["search", str(recipe), "--output", str(tmp_path / "out"), "--trials", "4", "--json"]
    fields = ["--field", "optimiser.learning_rate=1e-9,0.004,9.0", "--field", "training.batch_tokens=256,512"]
    assert main([*words, *fields]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    trials = found["trials"]
    assert len(trials) == 4
    assert [t["values"] for t in trials if t["note"] == "as the recipe stands"] == [
        {"optimiser.learning_rate": 0.004, "training.batch_tokens": 512}
    ]
    losses = [t["loss"] for t in trials if t["loss"] is not None]
    assert losses == sorted(losses)
    # Equal tokens: half the batch, twice the steps.
    assert {(t["values"]["training.batch_tokens"], t["steps"]) for t in trials} <= {(256, 8), (512, 4)}
    best = load_recipe(Path(found["best"]))
    assert best.optimiser.learning_rate == trials[0]["values"]["optimiser.learning_rate"] == 0.004
    assert best.training.max_steps == trials[0]["steps"]


def test_trials_that_fail_are_rows_of_the_table(tmp_path: Path) -> None:
    text = RECIPE.replace("model: {preset: nano}", f'model: {{base: "{tmp_path}/base"}}')
    with Reporter(quiet=True) as reporter:
        train(parse_recipe(RECIPE), tmp_path / "base", reporter)
        spans = {"training.sequence_length": Span(choices=(64, 128))}
        found = search(parse_recipe(text), tmp_path, reporter, root=tmp_path, trials=5, spans=spans)
        assert [trial.values["training.sequence_length"] for trial in found.trials] == [64, 128]
        assert "longer than the model's 64 positions" in found.describe()
        spans = {"training.sequence_length": Span(choices=(128,))}
        with pytest.raises(LlmosError, match=r"No trial came to its end: .*64 positions"):
            search(parse_recipe(text), tmp_path, reporter, root=tmp_path, trials=1, spans=spans)


def test_a_time_limit_is_shared_out(tmp_path: Path) -> None:
    with Reporter(quiet=True) as reporter:
        found = search(
            parse_recipe(RECIPE), tmp_path, reporter, root=tmp_path, trials=2, max_minutes=0.04, spans=None
        )
    assert found.fields == ["optimiser.learning_rate", "training.batch_tokens"]
    assert "as the recipe stands" in found.describe()
    assert sum(trial.seconds for trial in found.trials) < 30
    # On a slow machine the first has used all the time.
    first, *others = sorted(found.trials, key=lambda trial: trial.number)
    assert all(
        trial.steps * trial.values["training.batch_tokens"] <= 2 * first.steps * 512 for trial in others
    )
    assert load_recipe(found.best).training.max_steps is not None, "the recipe keeps its own limit"


@pytest.mark.parametrize("text", ["optimiser.learning_rate", "a=1..", "a=2..1", "=1..2", "a=", "a=one..two"])
def test_a_field_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(LlmosError, match=r"write FIELD=LOW\.\.HIGH"):
        parse_span(text)


def test_a_field_that_is_none_is_named() -> None:
    with pytest.raises(LlmosError, match="did you mean learning_rate"):
        variant(parse_recipe(RECIPE), {"optimiser.learning_rat": 1.0})
    assert parse_span("lora.rank=4..32") == ("lora.rank", Span(4, 32, True))
