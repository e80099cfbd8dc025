"""Mistakes in a pasted recipe: each with its line, and nothing refused that the training lab would take."""

from __future__ import annotations

from pathlib import Path

import pytest

import llmos
from llmos.core.errors import BadRequest
from llmos.features.jobs.recipe_check import MAX_TOLD, checked_recipe, find_mistakes
from llmos.features.jobs.recipes import quickstart_text, read_recipe
from llmos.infra.i18n.lazy import localize
from llmos.lab.recipes.load import RecipeError, parse_recipe

GOOD = """objective: clm
data:
  sources:
    - dataset: ada/poems
      split: train
model: {preset: nano}
"""


@pytest.mark.parametrize(
    ("text", "line", "field", "words"),
    [
        (GOOD + "trainig: {}", 7, "trainig", "did you mean training?"),
        (GOOD.replace("preset", "persetx"), 6, "model.persetx", "did you mean preset?"),
        (GOOD.replace("nano", "nanno"), 6, "model.preset", "did you mean nano?"),
        (GOOD.replace("clm", "clmm"), 1, "objective", "'clmm' is not one of clm, mlm"),
        (GOOD.replace("      split: train", "      spilt: train"), 5, "data.sources.0.spilt", "mean split?"),
        (GOOD + "training:\n  max_steps: many", 8, "training.max_steps", "a whole number, not 'many'"),
        (GOOD + "training:\n  max_steps: 1.5", 8, "training.max_steps", "a whole number, not 1.5"),
        (GOOD + "training: {max_steps: 0}", 7, "training.max_steps", "must be ≥ 1, not 0"),
        (GOOD + "optimiser:\n  learning_rate: .nan", 8, "optimiser.learning_rate", "must be > 0"),
        (GOOD + "training: [1, 2]", 7, "training", "an object of fields, not [1, 2]"),
        (GOOD + "name: 2024-01-01", 7, "name", "must be a text"),
        (GOOD + "push:\n  private: maybe", 8, "push.private", "true or false"),
        ("objective: clm\ndata: {sources: ada/poems}", 2, "data.sources", "must be a list"),
        (GOOD + "lora: {targets: all}", 7, "lora.targets", "did you mean all-linear?"),
        (GOOD + "name: a\nname: b", 8, "name", "is there twice"),
        ("objective: clm\nmodel: {preset: nano}", 1, "data", "must be there"),
        ("objective: clm\ndata: {columns: {}}", 2, "data.sources", "must be there"),
        (GOOD + "data: 1", 7, "data", "is there twice"),
    ],
)
def test_a_mistake_has_a_line_a_field_and_a_hint(text: str, line: int, field: str, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        checked_recipe(text)
    problem = caught.value.data["problems"][0]
    assert (problem["line"], problem["field"]) == (line, field)
    assert words in problem["message"]
    assert caught.value.message.startswith(f"Line {line}: {field}: ")
    with pytest.raises(RecipeError):
        parse_recipe(text)


def test_all_mistakes_are_told_up_to_a_few() -> None:
    text = GOOD + "training: {max_steps: 0}\n" + "".join(f"x{n}: 1\n" for n in range(20))
    with pytest.raises(BadRequest) as caught:
        checked_recipe(text)
    assert [one["line"] for one in caught.value.data["problems"]] == list(range(7, 7 + MAX_TOLD))
    assert localize(caught.value.message, "en").count("Line ") == MAX_TOLD


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD + "optimiser: {learning_rate: 1e-3}",
        GOOD + "training: {max_steps: '5', max_minutes: null}",
        GOOD + "training: {max_steps: 5.0}\npush: {private: 'yes'}",
        GOOD + "tokenizer: {from: ada/base}",
        GOOD.replace("model: {preset: nano}", "data_: 1").replace("data_: 1", "model: {base: ada/base}"),
        quickstart_text("ada"),
        (Path(llmos.__path__[0]) / "lab/samples/demo/models/tiny-en-zh/recipe.yaml").read_text(),
    ],
)
def test_what_the_lab_takes_is_not_refused(text: str) -> None:
    assert parse_recipe(text)
    assert checked_recipe(text) == read_recipe(text)


@pytest.mark.parametrize(
    "text", ["? {a: 1}\n: 2\nobjective: clm", "{}", "data: {? [a] : 1}", "<<: {a: 1}\nb: 2"]
)
def test_strange_yaml_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadRequest):
        checked_recipe(text)


def test_an_evaluation_is_no_training() -> None:
    text = "version: 1\nevaluation:\n  model: {repo: ada/a}\n  benchmark: {repo: ada/b, task_id: c}\n"
    assert list(find_mistakes(text, read_recipe(text)))
    assert checked_recipe(text) == read_recipe(text)
