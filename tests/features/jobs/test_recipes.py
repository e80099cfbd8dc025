"""What a recipe reads, as its job declares it."""

from __future__ import annotations

from click.testing import CliRunner
from starlette.testclient import TestClient

from llmos.cli.root import main
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


def test_editors_find_the_schema_at_an_address_of_its_own(app_client: TestClient) -> None:
    """Without a sign-in, as editors have none; the same that `llmos recipe schema` prints."""
    found = app_client.get("/-/schemas/recipe.json")
    assert (found.status_code, found.headers["content-type"]) == (200, "application/schema+json")
    assert found.text == CliRunner().invoke(main, ["recipe", "schema"]).output
    assert found.json()["properties"]["objective"]["description"] == "What is learnt."
    assert found.headers["cache-control"] == "public, max-age=3600"
    known = {"if-none-match": f"W/{found.headers['etag']}"}
    again = app_client.get("/-/schemas/recipe.json", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert app_client.head("/-/schemas/recipe.json").status_code == 200
    assert app_client.get("/-/schemas/other.json").status_code == 404
