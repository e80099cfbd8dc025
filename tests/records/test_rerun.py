"""Repeating a record: what is pinned, and how two runs are compared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kit.records import MadeRecord, make_record, make_rows, write_unsigned
from llmos.records.bundle import Bundle, dump_recipe, parse_recipe, read_bundle
from llmos.records.canonical import canonical
from llmos.records.errors import RecordError
from llmos.records.facts import leaf_of
from llmos.records.rerun import compare_bundles, recipe_again
from llmos.wire.evaluation_recipe import EvaluationRecipe, Places

ROOT = Path(__file__).parents[2]


@pytest.fixture
def record(tmp_path: Path) -> MadeRecord:
    return make_record(tmp_path, count=3)


def with_recipe(record: MadeRecord, evaluation: dict[str, Any], **places: str) -> Bundle:
    recipe = EvaluationRecipe.model_validate({"evaluation": evaluation, "push": {"repo": "ada/tiny-llm"}})
    (record.bundle / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    (record.bundle / "places.json").write_bytes(canonical(places))
    return read_bundle(record.bundle)


def test_the_same_again_agrees(record: MadeRecord, tmp_path: Path) -> None:
    write_unsigned(tmp_path / "again", record.model, make_rows(3))
    found = compare_bundles(record.bundle, tmp_path / "again")
    assert found.agrees
    assert (found.samples, found.largest_logprob_difference) == (3, 0.0)
    assert "AGREES: 3 samples" in found.describe()


def test_samples_that_differ_are_listed(record: MadeRecord, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    again = tmp_path / "again"
    write_unsigned(again, record.model, make_rows(3))
    table = pq.read_table(again / "samples.parquet")
    rows = table.to_pylist()
    rows[0]["chosen"] = 1 - rows[0]["chosen"]
    rows[1]["logprobs"] = [rows[1]["logprobs"][0] + 5e-5, rows[1]["logprobs"][1] + 3e-4]
    rows[2]["output"] = "other\x1b[2J"
    for row in rows:
        row["leaf_sha256"] = leaf_of(row).hex()
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), again / "samples.parquet")
    found = compare_bundles(record.bundle, again)
    assert [(item.id, item.what) for item in found.differences] == [
        ("test:0", "decision"), ("test:1", "log-probability"), ("test:2", "output"),
    ]  # fmt: skip
    assert found.largest_logprob_difference == pytest.approx(3e-4)
    assert "\x1b" not in found.describe()
    assert not found.to_json()["agrees"]
    assert len(compare_bundles(record.bundle, again, tolerance=1e-3).differences) == 2


def test_another_model_or_other_rows_are_told(record: MadeRecord, tmp_path: Path) -> None:
    (record.model / "model.safetensors").write_bytes(b"v")
    write_unsigned(tmp_path / "again", record.model, make_rows(4, seed=1), seed=1)
    found = compare_bundles(record.bundle, tmp_path / "again")
    assert {"weights", "data rows", "prompts"} <= set(found.inputs)
    assert ("test:3", "sample") in [(item.id, item.what) for item in found.differences]
    assert not found.agrees


def test_what_the_statement_pins_goes_into_the_recipe(record: MadeRecord) -> None:
    bundle = with_recipe(record, {"model": {"path": "m"}, "benchmark": {"path": "b"}, "seed": 99})
    with pytest.raises(RecordError, match="--model"):
        recipe_again(bundle)
    with pytest.raises(RecordError, match="--data"):
        recipe_again(bundle, model="ada/tiny-llm")
    again = recipe_again(bundle, model="ada/tiny-llm", data=str(record.data))
    plan = again.evaluation
    assert (plan.seed, plan.fewshot) == (17, 2)
    assert plan.model is not None
    assert (plan.model.repo, plan.model.path) == ("ada/tiny-llm", None)
    assert plan.benchmark is not None
    assert (plan.benchmark.path, plan.benchmark.task_id) == (str(record.data), "cloze")
    assert again.push.repo is None
    assert parse_recipe(dump_recipe(again).encode()) == again


def test_places_say_where_things_lay(record: MadeRecord) -> None:
    places = Places(model=str(record.model), data=str(record.data)).model_dump()
    plan = {"model": {"path": "m"}, "task": {"kind": "perplexity", "files": ["test.jsonl"]}}
    found = recipe_again(with_recipe(record, plan, **places)).evaluation
    assert found.model is not None
    assert found.model.path == str(record.model)
    assert found.task is not None
    assert found.task.files == [str(record.data / "test.jsonl")]
    plan = {"model": {"repo": "ada/tiny-llm", "revision": "main"}, "benchmark": {"repo": "ada/cloze"}}
    found = recipe_again(with_recipe(record, plan)).evaluation
    assert found.model is not None
    assert found.model.repo == "ada/tiny-llm"


@pytest.mark.slow
def test_a_real_evaluation_repeats(tmp_path: Path) -> None:
    from kit.tiny_models import make_model

    make_model(tmp_path / "model")
    benchmark = ROOT / "src/llmos/lab/samples/benchmarks/english-cloze"

    def llmos(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "llmos.cli", "eval", *map(str, words)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)

    made = llmos(
        "run", "--model", "model", "--benchmark", benchmark, "--limit", 12, "--threads", 1, "--bundle", "out",
        "--no-sign",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    for size in (1, 5):
        again = llmos("rerun", "out", "--batch-size", size, "--json")
        assert again.returncode == 0, again.stderr + again.stdout
        assert json.loads(again.stdout)["agrees"]
