"""What a recipe reads, as its job declares it."""

from __future__ import annotations

from llmos.features.jobs.recipes import recipe_inputs
from llmos.wire.evaluation_recipe import is_evaluation


def sources(recipe: dict[str, object]) -> set[tuple[str, str]]:
    return {(item["type"], item["source"]) for item in recipe_inputs(recipe)}


def test_a_training_that_looks_at_itself_is_no_evaluation() -> None:
    training = {
        "objective": "clm",
        "data": {"sources": [{"dataset": "ada/lines"}], "validation": [{"dataset": "ada/held-out"}]},
        "model": {"base": "ada/base"},
        "evaluation": {"samples": 0},
    }
    assert not is_evaluation(training)
    assert sources(training) == {("dataset", "ada/lines"), ("dataset", "ada/held-out"), ("model", "ada/base")}


def test_an_evaluation_reads_model_and_benchmark() -> None:
    plan = {"model": {"repo": "ada/tiny-llm"}, "benchmark": {"repo": "grace/cloze", "task_id": "cloze"}}
    recipe = {"version": 1, "evaluation": plan, "push": {"repo": "ada/tiny-llm"}}
    assert is_evaluation(recipe)
    assert sources(recipe) == {("model", "ada/tiny-llm"), ("dataset", "grace/cloze")}
