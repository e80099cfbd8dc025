"""Recipes as files: mistakes by line, defaults with reasons, the schema that editors read."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from llmos.cli.root import main
from llmos.lab.recipes.json_schema import SCHEMA_PATH, schema_text
from llmos.lab.recipes.load import RecipeError, dump_recipe, load_recipe, parse_recipe
from llmos.lab.recipes.resolve import resolve

GOOD = """objective: clm
data:
  sources:
    - files: [speeches.txt]
training:
  max_minutes: 3
"""


@pytest.mark.parametrize(
    ("written", "line", "field", "words"),
    [
        (GOOD.replace("max_minutes", "max_minuts"), 6, "training.max_minuts", "did you mean max_minutes?"),
        (GOOD.replace("files", "file"), 4, "data.sources.0.file", "did you mean files?"),
        (GOOD.replace("clm", "clmm"), 1, "objective", "did you mean clm?"),
        (GOOD.replace(": 3", ": -3"), 6, "training.max_minutes", "greater than 0"),
        (GOOD.replace(": 3", ": soon"), 6, "training.max_minutes", "valid number"),
        (GOOD + "  max_minutes: 4\n", 7, "training.max_minutes", "is there twice"),
        (GOOD + "lora: {rank: 8}\n", 1, "", "lora needs model.base"),
        (GOOD.replace("clm", "classify") + "model: {base: b}\nlora: {quantize: nf4}\n", 1, "", "new head"),
        (GOOD + "model: {base: a/b, gguf_file: a}\nlora: {quantize: nf4}\n", 1, "", "needs a base in safe"),
        (
            GOOD + "  distributed: fsdp\noptimiser: {name: muon}\n",
            1,
            "",
            "fsdp does not go with optimiser.name muon",
        ),
        (GOOD + "model: {family: bert}\n", 1, "", "needs a family of llama, gpt2, qwen"),
        (GOOD.replace("objective: clm\n", ""), 1, "objective", "must be there"),
        ("objective: [clm\n", 2, "", "not YAML"),
        ("- clm\n", 1, "", "a recipe is a YAML mapping"),
    ],
)
def test_a_mistake_is_told_with_its_line(written: str, line: int, field: str, words: str) -> None:
    with pytest.raises(RecipeError) as refused:
        parse_recipe(written, "r.yaml")
    problems = refused.value.data["problems"]
    assert (line, field) in [(p["line"], p["field"]) for p in problems], problems
    assert words in refused.value.message
    assert refused.value.message.startswith("r.yaml:")


def test_a_recipe_is_written_as_it_is_read() -> None:
    recipe = parse_recipe(GOOD + "tokenizer: {from: ada/tiny-llm}\n")
    assert parse_recipe(dump_recipe(recipe)) == recipe


def test_json_is_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text('{"objective": "clm", "data": {"sources": [{"files": ["a.txt"]}]}}')
    assert load_recipe(path).objective == "clm"


def test_every_default_has_a_value_and_a_reason() -> None:
    full, defaults = resolve(parse_recipe(GOOD))
    assert full.model.family == "llama"
    assert full.training.sequence_length == 256
    known = {default.field: default for default in defaults}
    assert "training.max_minutes" not in known
    assert known["optimiser.learning_rate"].value == full.optimiser.learning_rate
    assert [d.field for d in defaults if not d.reason] == []


def test_the_schema_on_disk_is_that_of_the_code() -> None:
    """Regenerate with: python -m llmos.lab.recipes.json_schema"""
    assert SCHEMA_PATH.read_text(encoding="utf-8") == schema_text()


def test_a_recipe_can_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "poems.yaml"
    answers = "mlm\npoems/*.txt dataset:ada/poems@v1\n\nroberta\nnano\n2\nada/poet\n"
    done = CliRunner().invoke(main, ["recipe", "new", str(path)], input=answers, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    recipe = load_recipe(path)
    assert (recipe.objective, recipe.model.family, recipe.push.repo) == ("mlm", "roberta", "ada/poet")
    assert [source.dataset for source in recipe.data.sources] == ["ada/poems", None]


def test_a_wrong_recipe_ends_the_command_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(GOOD.replace("clm", "clmm"))
    done = CliRunner().invoke(main, ["recipe", "check", str(path)])
    assert done.exit_code != 0
    assert "r.yaml:1: objective:" in done.output
