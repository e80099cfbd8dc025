"""Bundles made to harm the reader: refused with a clear error or a finding, never with a traceback."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.records import MadeRecord, make_record
from llmos.records.bundle import MAX_STATEMENT_BYTES, parse_recipe, parse_statement, read_bundle, sign_bundle
from llmos.records.canonical import canonical
from llmos.records.errors import RecordError
from llmos.records.keys import create_private_key, load_private_key, load_public_keys
from llmos.records.model_files import digest_model
from llmos.records.report import Report
from llmos.records.rows import parquet_rows, read_rows
from llmos.records.verify import verify_bundle
from llmos.wire.evaluation_recipe import Places

MB = 1_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRecord:
    return make_record(tmp_path_factory.mktemp("record"), count=3)


@pytest.fixture
def record(made: MadeRecord, tmp_path: Path) -> MadeRecord:
    bundle = Path(shutil.copytree(made.bundle, tmp_path / "bundle"))
    return MadeRecord(bundle, made.model, made.data, made.key)


def verify(record: MadeRecord) -> Report:
    return verify_bundle(record.bundle, [record.key.public])


def edit(path: Path, change: Callable[[Any], None]) -> None:
    value = json.loads(path.read_bytes())
    change(value)
    path.write_bytes(canonical(value))


CULPRITS = {
    "envelope.json": "signer",
    "statement.json": "statement",
    "log.json": "log position",
    "recipe.yaml": "recipe",
    "samples.parquet": "samples",
}


@pytest.mark.parametrize("whole", ["envelope.json", "statement.json"])
@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "noise", "empty", "deep"])
def test_files_that_are_something_else(record: MadeRecord, kind: str, whole: str) -> None:
    """All but the one that says what was evaluated."""
    names = [name for name in CULPRITS if name != whole]
    for name in names:
        path = record.bundle / name
        path.unlink()
        if kind == "link":
            path.symlink_to("/etc/passwd")
        elif kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.write_bytes({"noise": os.urandom(2000), "empty": b"", "deep": b"[" * 50_000}[kind])
    report = verify(record)
    assert {CULPRITS[name] for name in names} <= set(report.culprits)
    told = " ".join(" ".join([f.message, *f.where]) for f in report.findings)
    assert all(name in told for name in names)


def test_a_download_of_the_hubs_client_is_made_of_links(record: MadeRecord, tmp_path: Path) -> None:
    cache = tmp_path / "models--ada--tiny-llm"
    snapshot = cache / "snapshots" / ("0" * 40) / ".eval_results"
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    for path in record.bundle.iterdir():
        path.rename(cache / "blobs" / path.name)
        (snapshot / path.name).symlink_to(Path("../../../blobs") / path.name)
    assert verify_bundle(snapshot, [record.key.public]).is_good
    (snapshot / "log.json").unlink()
    (snapshot / "log.json").symlink_to("/etc/passwd")
    assert verify_bundle(snapshot, [record.key.public]).culprits == ["log position"]


def test_places_are_hints_whatever_they_hold(record: MadeRecord) -> None:
    for raw in (b"", b"{", b"[]", b'{"model": 7}', b"\x00"):
        (record.bundle / "places.json").write_bytes(raw)
        assert read_bundle(record.bundle).places == Places()
    (record.bundle / "places.json").write_bytes(b'{"model": "/dev/zero", "data": "/proc"}')
    assert verify(record).is_good


def test_a_hinted_device_is_not_read(record: MadeRecord) -> None:
    (record.bundle / "places.json").write_bytes(b'{"model": "/dev", "data": "/dev/zero"}')
    report = verify_bundle(record.bundle, [record.key.public], use_places=True)
    assert set(report.culprits) == {
        "weights", "tokenizer", "chat template", "model settings", "data row",
    }  # fmt: skip


def test_a_bundle_without_a_statement_cannot_be_read(record: MadeRecord, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="not a folder"):
        verify_bundle(tmp_path / "nowhere", [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match=r"statement\.json"):
        verify_bundle(tmp_path / "empty", [])
    (record.bundle / "envelope.json").unlink()
    for raw in (b"", b"{}", b"[" * 10_000, b'{"_type": 1}', b"\xff", b"null"):
        (record.bundle / "statement.json").write_bytes(raw)
        with pytest.raises(RecordError, match=r"statement\.json"):
            verify(record)


def test_files_without_end_are_not_read_to_the_end(record: MadeRecord) -> None:
    for name in ("statement.json", "log.json", "recipe.yaml"):
        with (record.bundle / name).open("wb") as file:
            file.truncate(MAX_STATEMENT_BYTES * 1000)
    report = verify(record)
    assert {"statement", "log position", "recipe"} <= set(report.culprits)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p["settings"].update(seed="17"),
        lambda p: p["settings"].update(seed=-1),
        lambda p: p["settings"].update(extra=1),
        lambda p: p.pop("model"),
        lambda p: p["metrics"].append(None),
        lambda p: p["model"].update(files={"a": 1}),
        lambda p: p["model"]["files"][0].update(size_bytes=2**80),
        lambda p: p.update(created_at="yesterday"),
        lambda p: p["environment"].update(packages=[]),
        lambda p: p["benchmark"].update(task=[1]),
        lambda p: p.update(record_id="../../etc/passwd"),
    ],
)
def test_statements_of_another_shape_are_refused(record: MadeRecord, change: Callable[[Any], None]) -> None:
    path = record.bundle / "statement.json"
    edit(path, lambda value: change(value["predicate"]))
    with pytest.raises(RecordError, match=r"statement\.json: predicate\."):
        parse_statement(path.read_bytes())


def test_paths_in_a_manifest_lead_nowhere(record: MadeRecord) -> None:
    """Signed by the forger's own key: only compared with what is in the model's folder, never opened."""
    path = record.bundle / "statement.json"
    names = ["/etc/passwd", "../../../etc/passwd", "a\u001b[2Jb", "x" * 3000]
    edit(
        path,
        lambda value: value["predicate"]["model"]["files"].extend(
            {"path": name, "size_bytes": 1, "sha256": "0" * 64} for name in names
        ),
    )
    sign_bundle(record.bundle, record.key)
    report = verify_bundle(record.bundle, [record.key.public], model_dir=record.model)
    told = report.describe()
    assert "/etc/passwd: is missing" in told
    assert "\x1b" not in told


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [1,1]\nb: &b [*a,*a]\nc: [*b,*b]", "!!python/object/apply:os.system [ls]", "[" * 2000,
        "evaluation: 1", "- 1", "", "\x00", "evaluation: {model: {path: x}, task: {kind: perplexity}}",
        "evaluation: {model: {path: x, repo: a/b}, benchmark: {path: y}}",
        "evaluation: {model: {path: x}, benchmark: {path: y}, sed: 3}",
    ],
)  # fmt: skip
def test_recipes_that_cannot_be_used(text: str) -> None:
    with pytest.raises(RecordError, match=r"recipe\.yaml"):
        parse_recipe(text.encode())


def write_samples(record: MadeRecord, change: Callable[[dict[str, Any]], None]) -> None:
    path = record.bundle / "samples.parquet"
    columns = pq.read_table(path).to_pydict()
    change(columns)
    pq.write_table(pa.table(columns), path)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("output"),
        lambda c: c.update(more=[1, 2, 3]),
        lambda c: c.update(chosen=["a", "b", "c"]),
        lambda c: c.update(prompt=[None, "a", "b"]),
        lambda c: c.update(leaf_sha256=["x", "", "zz"]),
        lambda c: c.update(scores=["[]", "{", '{"a": "b"}']),
        lambda c: c.update(scores=['{"a": 1e999}', "{}", "{}"]),
        lambda c: c.update(row_sha256=["../x", "0", "1"]),
    ],
)
def test_samples_of_another_shape(record: MadeRecord, change: Callable[[dict[str, Any]], None]) -> None:
    write_samples(record, change)
    report = verify(record)
    assert "samples" in report.culprits
    assert "metrics" in [item.what for item in report.unchecked]


def test_a_small_file_that_asks_for_gigabytes(record: MadeRecord) -> None:
    path = record.bundle / "samples.parquet"
    columns = pq.read_table(path).slice(0, 1).to_pydict()
    table = pa.table({name: values * 400 for name, values in columns.items()})
    prompts = pa.DictionaryArray.from_arrays(pa.array([0] * 400, pa.int32()), pa.array(["a" * 20 * MB]))
    at = table.schema.get_field_index("prompt")
    table = table.set_column(at, "prompt", prompts)
    table = table.set_column(
        table.schema.get_field_index("chosen"), "chosen", pa.array([1] * 400, pa.int32())
    )
    table = table.set_column(
        table.schema.get_field_index("tokens"), "tokens", pa.array([1] * 400, pa.int32())
    )
    pq.write_table(table, path, compression="zstd", store_schema=False)
    assert path.stat().st_size < MB
    report = verify(record)
    assert "needs more memory" in report.describe()
    assert report.culprits == ["samples"]


def test_reading_may_end_early(made: MadeRecord) -> None:
    rows = parquet_rows(made.bundle / "samples.parquet", is_samples=True)
    assert next(rows)["id"] == "test:0"
    rows.close()


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1), noise=st.binary(min_size=1, max_size=40))
def test_damaged_parquet_is_told_not_thrown(record: MadeRecord, at: float, noise: bytes) -> None:
    path = record.bundle / "damaged.parquet"
    raw = bytearray((record.bundle / "samples.parquet").read_bytes())
    start = int(at * (len(raw) - len(noise)))
    raw[start : start + len(noise)] = noise
    path.write_bytes(raw)
    with contextlib.suppress(RecordError):
        assert len(list(parquet_rows(path, is_samples=True))) <= 3


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["statement.json", "envelope.json", "log.json"]),
    at=st.floats(0, 1),
    noise=st.binary(max_size=6),
)
def test_a_damaged_byte_is_always_noticed(record: MadeRecord, name: str, at: float, noise: bytes) -> None:
    path = record.bundle / name
    whole = path.read_bytes()
    start = int(at * (len(whole) - 1))
    damaged = whole[:start] + noise + whole[start + 1 :]
    (record.bundle / "samples.parquet").unlink(missing_ok=True)
    path.write_bytes(damaged)
    report = verify(record)
    path.write_bytes(whole)
    # That samples.parquet is not there is told by itself.
    named = [finding for finding in report.findings if finding.where != ["samples.parquet"]]
    if json_or_none(damaged) != json_or_none(whole):
        assert named, damaged[max(0, start - 40) : start + 40]


def json_or_none(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b'{"a": 1}\n{'), ("a.jsonl", b"[1]"), ("a.json", b"[[1]]"), ("a.json", b"{" * 90_000),
        ("a.jsonl", b"\xff\xfe"), ("a.csv", b"a\n\xff"), ("a.jsonl.gz", b"no gzip"), ("a.txt", b"\xff"),
        ("a.parquet", b"PAR1PAR1"),
    ],
)  # fmt: skip
def test_data_that_cannot_be_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordError, match=name.split(".", maxsplit=1)[0]):
        list(read_rows(tmp_path / name))


def test_long_fields_are_read_as_the_lab_reads_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a,b\n" + b"x" * 200_000 + b",1\n")
    limit = csv.field_size_limit(131_072)  # as in a new process
    try:
        assert [len(row["a"]) for row in read_rows(tmp_path / "a.csv")] == [200_000]
    finally:
        csv.field_size_limit(max(limit, csv.field_size_limit()))


def test_keys_of_another_kind_are_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = create_private_key()
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    curve = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    good = key.public.to_pem().encode()
    for pem in (
        b"",
        b"key",
        curve,
        good + curve,
        key.to_pem(),
        good[:60] + b"\n-----END PUBLIC KEY-----",
        b"\xff",
    ):
        with pytest.raises(RecordError):
            load_public_keys(pem)
    assert load_public_keys(b"keyid: x\n" + good + good) == [key.public, key.public]
    with pytest.raises(RecordError):
        load_private_key(good)
    assert load_private_key(key.to_pem()).public == key.public
    assert "PRIVATE" not in repr(key)


def test_a_model_folder_without_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RecordError, match="weights"):
        digest_model(tmp_path)
    with pytest.raises(RecordError, match="not a folder"):
        digest_model(tmp_path / "none")
