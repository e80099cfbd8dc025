"""When two machines count as having made the same: by what they made, not by how long it took them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from llmos.lab.events import Reporter
from llmos.lab.recipes.load import parse_recipe
from llmos.lab.train.run import train
from llmos.runner.staging import digest_tree

RECIPE = """
objective: clm
data: {max_chars: 20000, sources: [{files: ["sample:english.txt"]}]}
model: {preset: nano}
training: {max_steps: 2, sequence_length: 32, batch_tokens: 128, threads: 1, precision: fp32}
evaluation: {samples: 0, max_examples: 2}
"""


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One recipe, trained twice as two machines would."""
    folders = [tmp_path_factory.mktemp("machine") / "output" for _ in range(2)]
    for folder in folders:
        with Reporter(quiet=True) as reporter:
            train(parse_recipe(RECIPE), folder, reporter)
        for checkpoint in folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
    return folders


def test_two_trainings_of_a_deterministic_recipe_agree(twins: list[Path]) -> None:
    contents = [(folder / "metrics.json").read_bytes() for folder in twins]
    assert contents[0] != contents[1], "times differ, or this test shows nothing"
    assert digest_tree(twins[0]) == digest_tree(twins[1]) != ""


def test_a_changed_weight_or_any_other_file_does_not(twins: list[Path], tmp_path: Path) -> None:
    honest = digest_tree(twins[0])
    for name in (
        "model.safetensors",
        "tokenizer.json",
        "config.json",
        "recipe.yaml",
        "generation_config.json",
    ):
        forged = tmp_path / name
        shutil.copytree(twins[0], forged)
        data = (forged / name).read_bytes()
        (forged / name).write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
        assert digest_tree(forged) != honest, name
    extra = tmp_path / "extra"
    shutil.copytree(twins[0], extra)
    for name in ("modeling.py", "sub/README.md", "runs/x.py", "runs/events.out.tfevents.1/pytorch_model.bin"):
        (extra / name).parent.mkdir(parents=True, exist_ok=True)
        (extra / name).write_bytes(b"x")
        assert digest_tree(extra) != honest, name
        (extra / name).unlink()
    assert digest_tree(extra) == honest


def _evidence(folder: Path, record: str, **changes: object) -> Path:
    predicate = {
        "record_id": record,
        "created_at": f"2026-01-01T00:00:00Z {record[0]}",
        "cost": {"wall_s": len(record)},
        "settings": {"seed": 1, "threads": int(record[0])},
        "metrics": [{"name": "accuracy", "value": 0.5}],
    }
    bundle = folder / ".eval_results" / "bundles" / record
    bundle.mkdir(parents=True)
    (bundle / "statement.json").write_text(json.dumps({"predicate": predicate | changes}))
    (bundle / "samples.parquet").write_bytes(b"answers")
    return bundle


def test_evaluations_agree_by_their_answers_and_scores(tmp_path: Path) -> None:
    one = _evidence(tmp_path / "one", "1" * 32)
    _evidence(tmp_path / "two", "2" * 32)
    _evidence(tmp_path / "better", "3" * 32, metrics=[{"name": "accuracy", "value": 0.9}])
    first = digest_tree(tmp_path / "one")
    assert digest_tree(tmp_path / "two") == first
    assert digest_tree(tmp_path / "better") != first
    (one / "samples.parquet").write_bytes(b"others")
    assert digest_tree(tmp_path / "one") != first
    (one / "statement.json").write_text("[]")
    assert digest_tree(tmp_path / "one") != first, "what is no statement counts as it is"


def test_what_only_tells_of_the_run_agrees_with_nothing(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# A model")
    assert digest_tree(tmp_path) == ""
