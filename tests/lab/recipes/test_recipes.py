"""Recipes as files: mistakes by line, defaults with reasons, the schema that editors read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from llmos.cli.root import main
from llmos.lab.recipes.json_schema import SCHEMA_PATH, schema_text
from llmos.lab.recipes.load import RecipeError, dump_recipe, load_recipe, parse_recipe
from llmos.lab.recipes.resolve import resolve
from llmos.lab.recipes.schema import FAMILY_OF, PRETRAINING, TUNED_BY_TRL, Recipe

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


@pytest.mark.parametrize(
    ("objective", "more", "words"),
    [
        *((name, "training: {ema: 0.9}", f"training.ema: {name} keeps no") for name in TUNED_BY_TRL),
        *(
            (name, "training: {compile: true}", f"training.compile: the rows of {name}")
            for name in TUNED_BY_TRL
        ),
        *(
            (name, f"data.packing: {mode}", f"data.packing: {mode} is for clm, mlm and seq2seq")
            for name in FAMILY_OF
            if name not in PRETRAINING
            for mode in ("stream", "fit")
        ),
        *(
            (name, f"data.longer: {longer}", f"data.longer: {name} cuts")
            for name in ("dpo", "kto", "orpo")
            for longer in ("drop", "error")
        ),
        *(("reward", f"data.longer: {longer}", "data.longer: reward leaves") for longer in ("cut", "error")),
        *(
            (name, f"data.longer: {longer}", f"data.longer: {longer} needs data.packing fit or none")
            for name in sorted(PRETRAINING)
            for longer in ("drop", "error")
        ),
    ],
)
def test_what_would_do_nothing_is_refused(objective: str, more: str, words: str) -> None:
    data: dict[str, object] = {"sources": [{"files": ["a.jsonl"]}]}
    if more.startswith("data."):
        name, value = more.removeprefix("data.").split(": ")
        data[name], more = value, ""
    with pytest.raises(RecipeError, match=re.escape(words)):
        parse_recipe(f"objective: {objective}\ndata: {json.dumps(data)}\n{more}\n")


@pytest.mark.parametrize("objective", FAMILY_OF)
def test_what_a_recipe_resolves_to_is_not_refused(objective: str) -> None:
    full, _ = resolve(parse_recipe(GOOD.replace("clm", objective)))
    assert Recipe.model_validate(full.model_dump()) == full


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


@pytest.mark.parametrize(
    ("hub", "address"),
    [
        ("http://localhost:8642/", "http://localhost:8642/-/schemas/recipe.json"),
        ("https://huggingface.co", SCHEMA_PATH.as_uri()),
        ("", SCHEMA_PATH.as_uri()),
    ],
)
def test_a_written_recipe_names_its_schema_to_editors(
    hub: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub)
    path = tmp_path / "poems.yaml"
    answers = "clm\npoems/*.txt\n\nllama\nnano\n2\n\n"
    done = CliRunner().invoke(main, ["recipe", "new", str(path)], input=answers, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"# yaml-language-server: $schema={address}"
    wrong = next(number for number, line in enumerate(lines, 1) if "max_minutes" in line)
    path.write_text(path.read_text().replace("max_minutes", "max_minuts"))
    refused = CliRunner().invoke(main, ["recipe", "check", str(path)])
    assert f"poems.yaml:{wrong}: training.max_minuts: " in refused.output


def test_the_recipe_of_one_line_names_its_schema_and_is_valid_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example.org")
    monkeypatch.setattr("llmos.cli.lab_process.run_lab", lambda words: 0)
    words = ["train", "--objective", "clm", "--data", "a.txt", "--preset", "nano", "--output", str(tmp_path)]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    first, _, rest = (tmp_path / "recipe.yaml").read_text(encoding="utf-8").partition("\n")
    assert first == "# yaml-language-server: $schema=https://hub.example.org/-/schemas/recipe.json"
    assert done.output.startswith(f"{first}\n{rest}")
    printed = json.loads(CliRunner().invoke(main, ["recipe", "schema"]).output)
    check = Draft202012Validator(printed)
    assert [error.message for error in check.iter_errors(yaml.safe_load(rest))] == []
    wrong = yaml.safe_load(rest.replace("preset:", "preseet:"))
    assert [error.json_path for error in check.iter_errors(wrong)] == ["$.model"]


def test_a_wrong_recipe_ends_the_command_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(GOOD.replace("clm", "clmm"))
    done = CliRunner().invoke(main, ["recipe", "check", str(path)])
    assert done.exit_code != 0
    assert "r.yaml:1: objective:" in done.output
