"""`llmos eval run`: from options to a signed record."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kit.records import make_record
from kit.tiny_models import make_model
from llmos.cli.root import main
from llmos.features.evals.log import count_entries, log_own_bundle
from llmos.infra.runtime import Runtime
from llmos.infra.security.instance_key import load_instance_key
from llmos.infra.settings import get_settings
from llmos.records.errors import RecordError
from llmos.records.keys import load_private_key


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LLMOS_LAB_PYTHON", sys.executable)
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    yield tmp_path
    get_settings.cache_clear()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["eval", *arguments])


def test_a_signed_record_that_others_can_check(place: Path) -> None:
    make_model(place / "tiny-llm")
    (place / "texts.jsonl").write_text('{"text": "We the people"}\n{"text": "Liberty and law"}\n')
    options = [
        "run",
        "--model",
        "tiny-llm",
        "--task",
        "perplexity",
        "--data",
        "texts.jsonl",
        "--threads",
        "1",
    ]
    done = run(*options, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["bundle"] == "evaluation/tiny-llm--perplexity"
    assert {m["name"] for m in found["metrics"]} == {"bits_per_byte", "perplexity"}
    (place / "key.pem").write_text(CliRunner().invoke(main, ["key", "show"]).output)
    checked = run("verify", found["bundle"], "--key", "key.pem", "--json")
    told = json.loads(checked.stdout)
    assert told["good"], checked.output
    # There is no hub in this home, and none was made for it.
    assert found["log_entry"] is None
    assert "log position" in [item["what"] for item in told["unchecked"]]
    assert [path.name for path in (place / "home").iterdir()] == ["secrets"]


def test_a_record_made_beside_the_hub_is_in_its_log(place: Path, rt: Runtime) -> None:
    """The bundle carries its proof, is known to the log once, and learns its place when it is pushed."""
    made = make_record(place / "made", key=load_private_key(load_instance_key(rt.settings)))
    (made.bundle / "log.json").unlink()
    (place / "key.pem").write_text(made.key.public.to_pem())
    for _ in range(2):
        assert log_own_bundle(rt, made.bundle).leaf_index == 0
    checked = json.loads(run("verify", str(made.bundle), "--key", "key.pem", "--json").stdout)
    assert checked["good"], checked
    assert "log position" in checked["checked"]
    stranger = make_record(place / "stranger")
    with pytest.raises(RecordError, match="signed by this instance"):
        log_own_bundle(rt, stranger.bundle)
    with rt.database.writing() as db:
        assert count_entries(db) == 1


@pytest.mark.slow
def test_records_are_repeated_and_refusals_end_with_2(place: Path) -> None:
    make_model(place / "tiny-llm")
    (place / "texts.txt").write_text("We the people of the United States")
    done = run("run", "--model", "tiny-llm", "--task", "perplexity", "--data", "texts.txt", "--bundle", "one")
    assert done.exit_code == 0, done.output
    again = run("rerun", "one", "--batch-size", "1", "--json")
    assert json.loads(again.stdout)["agrees"], again.output
    options = (
        "run",
        "--model",
        "tiny-llm",
        "--task",
        "perplexity",
        "--data",
        "texts.txt",
        "--metric",
        "nope",
    )
    done = run(*options, "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["code"] == "BadTask"
    assert not (place / "evaluation/tiny-llm--perplexity/statement.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Name a model with --model"),
        (["--model", "a/b", "--endpoint", "http://x"], "Name a model with --model"),
        (["--endpoint", "http://x"], "--endpoint needs --endpoint-model"),
        (["--model", "a/b"], "Name --benchmark, or --task perplexity"),
        (["--model", "a/b", "--task", "perplexity"], "--task perplexity needs --data"),
        (["--model", "nowhere", "--benchmark", "a/b"], "--model: nowhere is neither a folder here"),
        (["--model", "a/b", "--benchmark", "a/b", "--task-file", "x.yaml"], "Name --benchmark, or"),
        (["--endpoint", "ftp://x", "--endpoint-model", "m", "--benchmark", "a/b"], "endpoint.url"),
        (["recipe.yaml", "--limit", "3"], "A recipe says all of it"),
    ],
)
def test_options_that_do_not_go_together(place: Path, options: list[str], message: str) -> None:
    (place / "recipe.yaml").write_text("evaluation: {}\n")
    done = run("run", *options)
    assert done.exit_code in (1, 2)
    assert message in done.output
