"""Whatever of a record is changed, verifying refuses it and names what it was."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kit.records import MadeRecord, log_bundle, make_record
from llmos.records import digests
from llmos.records.bundle import sign_bundle
from llmos.records.canonical import canonical
from llmos.records.facts import leaf_of
from llmos.records.keys import create_private_key
from llmos.records.report import Report
from llmos.records.resample import interval
from llmos.records.verify import verify_bundle


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRecord:
    return make_record(tmp_path_factory.mktemp("record"))


@pytest.fixture
def record(made: MadeRecord, tmp_path: Path) -> MadeRecord:
    """A copy to spoil."""
    copies = [
        Path(shutil.copytree(place, tmp_path / place.name)) for place in (made.bundle, made.model, made.data)
    ]
    return MadeRecord(*copies, made.key)


def verify(record: MadeRecord) -> Report:
    return verify_bundle(record.bundle, [record.key.public], model_dir=record.model, data_dir=record.data)


def edit_statement(record: MadeRecord, edit: Callable[[dict[str, Any]], None]) -> None:
    path = record.bundle / "statement.json"
    value = json.loads(path.read_bytes())
    edit(value["predicate"])
    path.write_bytes(canonical(value))


def edit_payload(record: MadeRecord, edit: Callable[[dict[str, Any]], None]) -> None:
    """The forger changes what was signed, too."""
    edit_statement(record, edit)
    path = record.bundle / "envelope.json"
    value = json.loads(path.read_bytes())
    value["payload"] = base64.b64encode((record.bundle / "statement.json").read_bytes()).decode()
    path.write_bytes(canonical(value))


def edit_samples(
    record: MadeRecord, edit: Callable[[list[dict[str, Any]]], None], *, is_careful: bool = False
) -> None:
    """A careful forger works the leaf of each sample out again."""
    path = record.bundle / "samples.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    edit(rows)
    if is_careful:
        for row in rows:
            row["leaf_sha256"] = leaf_of(row).hex()
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def set_value(*path: Any) -> Callable[[Any], None]:
    *steps, last, value = path

    def edit(target: Any) -> None:
        for step in steps:
            target = target[step]
        target[last] = value

    return edit


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def other_template(record: MadeRecord) -> None:
    change(record.model / "tokenizer_config.json", "m.content }}", "m.content }} ")


def other_prompt(rows: list[dict[str, Any]]) -> None:
    rows[3]["prompt"] += " Think."
    rows[3]["prompt_sha256"] = digests.prompt_digest(rows[3]["prompt"])


def swap_examples(rows: list[dict[str, Any]]) -> None:
    rows[3]["fewshot_ids"].reverse()


def other_proof(record: MadeRecord, edit: Callable[[Any], None]) -> None:
    path = record.bundle / "log.json"
    value = json.loads(path.read_bytes())
    edit(value)
    path.write_bytes(canonical(value))


def sign_again(record: MadeRecord) -> None:
    forger = create_private_key()
    sign_bundle(record.bundle, forger)
    log_bundle(record.bundle, forger)


def without_interval(record: MadeRecord) -> None:
    edit_payload(record, lambda predicate: predicate["metrics"][0].update(low=None, high=None))


Tamper = Callable[[MadeRecord], object]
SAMPLE_3 = "test:3"
WEIGHTS = "model.safetensors"
EARLIER = "2020-01-01T00:00:00Z"
TAMPERS: dict[str, tuple[str, str, Tamper]] = {
    # name: (culprit, a word of where, what the forger does)
    "weights: a byte": (
        "weights", "model.safetensors", lambda r: (r.model / WEIGHTS).write_bytes(b"v" * 1000)
    ),
    "weights: longer": (
        "weights", "1,001 bytes", lambda r: (r.model / WEIGHTS).write_bytes(b"w" * 1001)
    ),
    "weights: gone": ("weights", "missing", lambda r: (r.model / WEIGHTS).unlink()),
    "weights: one more": (
        "weights", "not there", lambda r: (r.model / "adapter_model.bin").write_bytes(b"x")
    ),
    "tokenizer": ("tokenizer", "tokenizer.json", lambda r: change(r.model / "tokenizer.json", '"a"', '"b"')),
    "tokenizer config": (
        "tokenizer", "tokenizer_config", lambda r: change(r.model / "tokenizer_config.json", "</s>", "<s>")
    ),
    "chat template": ("chat template", "tokenizer_config", other_template),
    "chat template file": (
        "chat template", "template.jinja", lambda r: (r.model / "chat_template.jinja").write_text("{{ 1 }}")
    ),
    "config": ("model settings", "config.json", lambda r: change(r.model / "config.json", "llama", "gpt2")),
    "data row": ("data row", SAMPLE_3, lambda r: change(r.data / "test.jsonl", "问 3", "问 4")),
    "data row of an example": (
        "data row", "train:3", lambda r: change(r.data / "train.jsonl", "例 3", "例 9")
    ),
    "data row as asked": (
        "data row", SAMPLE_3, lambda r: edit_samples(r, set_value(3, "row_sha256", "0" * 64))
    ),
    "data row as asked, careful": (
        "data row", "", lambda r: edit_samples(r, set_value(3, "row_sha256", "0" * 64), is_careful=True)
    ),
    "few-shot order": ("few-shot order", SAMPLE_3, lambda r: edit_samples(r, swap_examples)),
    "few-shot order, careful": (
        "few-shot order", "", lambda r: edit_samples(r, swap_examples, is_careful=True)
    ),
    "prompt": ("prompt", SAMPLE_3, lambda r: edit_samples(r, set_value(3, "prompt", "?"))),
    "prompt and digest": ("prompt", SAMPLE_3, lambda r: edit_samples(r, other_prompt)),
    "prompt, careful": ("prompt", "", lambda r: edit_samples(r, other_prompt, is_careful=True)),
    "answer": ("answer", SAMPLE_3, lambda r: edit_samples(r, set_value(3, "chosen", 7))),
    "answer: output": ("answer", SAMPLE_3, lambda r: edit_samples(r, set_value(3, "output", "b"))),
    "answer, careful": ("answer", "", lambda r: edit_samples(r, set_value(3, "chosen", 7), is_careful=True)),
    "answer left out": ("answer", "", lambda r: edit_samples(r, lambda rows: rows.pop(3))),
    "metric": ("metric", "metrics", lambda r: edit_statement(r, set_value("metrics", 0, "value", 0.999))),
    "metric, signed part too": (
        "metric", "", lambda r: edit_payload(r, set_value("metrics", 0, "value", 0.999))
    ),
    "interval": (
        "interval", "metrics.0.high", lambda r: edit_statement(r, set_value("metrics", 0, "high", 0.999))
    ),
    "interval, signed part too": (
        "interval", "the samples give", lambda r: edit_payload(r, set_value("metrics", 0, "low", 0.001))
    ),
    "interval left out, signed part too": ("interval", "none in the statement", without_interval),
    "number of samples, signed part too": (
        "metric", "12", lambda r: edit_payload(r, set_value("metrics", 0, "n", 9999))
    ),
    "seed": ("seed", "seed", lambda r: edit_statement(r, set_value("settings", "seed", 18))),
    "seed, signed part too": ("seed", "", lambda r: edit_payload(r, set_value("settings", "seed", 18))),
    "seed of the recipe": ("seed", "", lambda r: change(r.bundle / "recipe.yaml", "seed: 17", "seed: 18")),
    "package lock": (
        "package lock", "torch",
        lambda r: edit_statement(r, set_value("environment", "packages", "torch", "2.13.1")),
    ),
    "package lock, signed part too": (
        "package lock", "", lambda r: edit_payload(r, set_value("environment", "packages", "torch", "2.13.1"))
    ),
    "signer": ("signer", "envelope.json", sign_again),
    "signer: another name": (
        "signer", "envelope.json", lambda r: change(r.bundle / "envelope.json", r.key.public.keyid, "0" * 64)
    ),
    "signer: nobody": ("signer", "envelope.json", lambda r: (r.bundle / "envelope.json").unlink()),
    "log position": ("log position", "log.json", lambda r: other_proof(r, set_value("leaf_index", 3))),
    "log position: proof": (
        "log position", "log.json", lambda r: other_proof(r, set_value("proof", 0, "0" * 64))
    ),
    "log position: size": ("log position", "log.json", lambda r: other_proof(r, set_value("tree_size", 6))),
    "log position: head": (
        "log position", "log.json", lambda r: other_proof(r, set_value("tree_head", "at", EARLIER))
    ),
    "log position: another log": (
        "log position", "log.json", lambda r: log_bundle(r.bundle, create_private_key())
    ),
    "samples written anew": ("samples", "", lambda r: edit_samples(r, lambda rows: None)),
    "task": (
        "task", "prompt", lambda r: edit_statement(r, set_value("benchmark", "task", "prompt", "{{x}}"))
    ),
    "record id": ("statement", "record_id", lambda r: edit_statement(r, set_value("record_id", "0" * 32))),
    "batch size, signed part too": (
        "signer", "", lambda r: edit_payload(r, set_value("settings", "batch_size", 5))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERS)
def test_what_was_changed_is_named(name: str, record: MadeRecord) -> None:
    culprit, word, tamper = TAMPERS[name]
    tamper(record)
    report = verify(record)
    assert not report.is_good
    assert culprit in report.culprits
    told = [f for f in report.findings if f.culprit == culprit]
    assert any(word in " ".join([f.message, *f.where]) for f in told), told
    # What was not touched is not blamed; a broken signature is told beside what broke it.
    allowed = {culprit, "signer", "statement", "log position"}
    assert set(report.culprits) <= allowed, report.describe()
    if "signed part" not in name and not name.startswith("signer"):
        assert report.culprits == [culprit], report.describe()


def test_nothing_is_blamed_where_nothing_was_changed(record: MadeRecord) -> None:
    report = verify(record)
    assert report.is_good, report.describe()
    assert report.signers == [record.key.public.keyid]
    assert report.unchecked == []
    assert {"metrics", "intervals"} <= set(report.checked)
    assert "accuracy" in report.describe()


def test_an_interval_that_cannot_be_drawn_is_told(tmp_path: Path) -> None:
    """Older ways of drawing, formulas from elsewhere: neither believed nor blamed."""
    made = make_record(tmp_path, signature="accuracy|agg:mean|ci:boot1000|v:1")
    report = verify(made)
    assert report.is_good, report.describe()
    assert [item.what for item in report.unchecked] == ["interval of accuracy"]
    assert "intervals" not in report.checked


def test_intervals_are_the_same_on_every_machine() -> None:
    """Held here by number: a record of today must hold with the numpy of next year."""
    rows = [{"accuracy": float(n * n % 7 == 2)} for n in range(50)]
    assert interval("accuracy", "mean", rows, seed=17) == (0.16, 0.4)
    rows = [{"b.numerator": n * 1.5, "b.denominator": 10.0 + n % 3} for n in range(3000)]
    assert interval("b", "ratio", rows, seed=3) == pytest.approx((200.37141384545876, 208.92645751840408))


def test_what_was_not_looked_at_is_told(record: MadeRecord) -> None:
    (record.bundle / "log.json").unlink()
    report = verify_bundle(record.bundle, [record.key.public])
    assert report.is_good
    whats = [item.what for item in report.unchecked]
    assert "weights, tokenizer, chat template" in whats
    assert {"data rows", "log position"} <= set(whats)
    assert "weights" not in report.checked


def test_places_help_only_those_who_ask(record: MadeRecord, made: MadeRecord) -> None:
    """The hint leads to the model of the untouched record."""
    without = verify_bundle(record.bundle, [record.key.public])
    hinted = verify_bundle(record.bundle, [record.key.public], use_places=True)
    assert "weights" not in without.checked
    assert {"weights", "data rows"} <= set(hinted.checked)
    (record.bundle / "places.json").write_bytes(canonical({"model": str(record.model), "data": "\x00"}))
    (record.model / "model.safetensors").write_bytes(b"x" * 1000)
    assert verify_bundle(record.bundle, [record.key.public], use_places=True).culprits == ["weights"]


def test_a_record_of_another_model_does_not_pass_for_this_one(record: MadeRecord, tmp_path: Path) -> None:
    """Replayed: a true record, held against a model it is not about."""
    other = make_record(tmp_path / "other", seed=5, count=3)
    (other.model / "model.safetensors").write_bytes(b"o" * 1000)
    report = verify_bundle(
        record.bundle, [record.key.public, other.key.public], model_dir=other.model, data_dir=other.data
    )
    assert {"weights", "data row"} <= set(report.culprits)


def test_parts_of_two_true_records_make_no_third(record: MadeRecord, tmp_path: Path) -> None:
    other = make_record(tmp_path / "other", seed=5, key=record.key)
    for name in ("samples.parquet", "log.json"):
        shutil.copy(other.bundle / name, record.bundle / name)
    culprits = verify_bundle(record.bundle, [record.key.public]).culprits
    assert {"answer", "log position"} & set(culprits)
    assert "data row" in culprits
    shutil.copy(other.bundle / "envelope.json", record.bundle)
    assert not verify_bundle(record.bundle, [record.key.public]).is_good


def test_any_of_several_keys_may_have_signed(record: MadeRecord) -> None:
    others = [create_private_key().public for _ in range(3)]
    assert verify_bundle(record.bundle, [*others, record.key.public]).is_good
    assert verify_bundle(record.bundle, others).culprits == ["signer", "log position"]
    assert not verify_bundle(record.bundle, []).is_good


@pytest.mark.slow
def test_fifty_good_bundles_pass(tmp_path: Path) -> None:
    for seed in range(50):
        made = make_record(tmp_path / str(seed), count=1 + seed * 7, seed=seed)
        report = verify(made)
        assert report.is_good, report.describe()
