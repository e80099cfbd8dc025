"""Records: how long verifying takes beside hashing the same bytes, and what it lets pass."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import Row
from kit.records import MadeRecord, log_bundle, make_record
from llmos.records.bundle import sign_bundle
from llmos.records.canonical import canonical
from llmos.records.keys import create_private_key

if TYPE_CHECKING:
    from benchmarks.bench import Bench

WEIGHTS_BYTES = 200_000_000
SAMPLES = 10_000
GOOD = 50
LIMIT_S = 5.0


def verify(bench: Bench) -> Iterator[Row]:
    """200 MB of weights and 10,000 samples through the command, start of the program included."""
    folder = bench.scratch / "record"
    folder.mkdir()
    record = make_record(folder, count=SAMPLES, weights=os.urandom(WEIGHTS_BYTES))
    key = folder / "key.pem"
    key.write_text(record.key.public.to_pem())
    took = min(_seconds(_run, record.bundle, key) for _ in range(3))
    files = [path for place in (record.bundle, record.model, record.data) for path in place.iterdir()]
    plain = min(_seconds(_hash, files) for _ in range(3))
    shown = f"200 MB, {SAMPLES:,} samples"
    yield Row(f"eval verify: {shown}", f"{took:.2f} s", f"limit {LIMIT_S:.0f} s", took / LIMIT_S, at_most=1.0)
    yield Row(f"eval verify: {shown}", f"{took:.2f} s", f"sha256 alone {plain:.2f} s", took / plain)
    shutil.rmtree(folder)
    yield from _verdicts(bench.scratch)


def _verdicts(scratch: Path) -> Iterator[Row]:
    """Fifty good bundles; then each kind of forgery on one of its own."""
    alarms = 0
    for seed in range(GOOD):
        folder = scratch / f"good-{seed}"
        folder.mkdir()
        alarms += _verify(make_record(folder, count=1 + seed, seed=seed), folder)["culprits"] != []
    yield Row(f"eval verify: {GOOD} good bundles", f"{alarms} alarms", "limit 0", alarms, at_most=0)
    named = 0
    for number, (culprit, tamper) in enumerate(TAMPERS.items()):
        folder = scratch / f"bad-{number}"
        folder.mkdir()
        record = make_record(folder)
        key = folder / "key.pem"
        key.write_text(record.key.public.to_pem())
        tamper(record)
        found = _verify(record, folder, key)
        named += not found["good"] and culprit in found["culprits"]
    count = len(TAMPERS)
    row = Row("eval verify: forgeries named", f"{named}", f"{count} kinds", named / count, at_least=1.0)
    yield row


def _verify(record: MadeRecord, folder: Path, key: Path | None = None) -> dict[str, list[str]]:
    if key is None:
        key = folder / "key.pem"
        key.write_text(record.key.public.to_pem())
    done = _run(record.bundle, key, "--json")
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def _run(bundle: Path, key: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "llmos.cli", "eval", "verify", str(bundle), "--key", str(key), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode > 1 or (not more and done.returncode):
        raise RuntimeError(done.stdout + done.stderr)
    return done


def _hash(files: list[Path]) -> None:
    """One file after the other, as `sha256sum` does."""
    for path in files:
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")


def _seconds(run: Callable[..., object], *words: object) -> float:
    started = time.perf_counter()
    run(*words)
    return time.perf_counter() - started


def _statement(record: MadeRecord, old: str, new: str) -> None:
    _change(record.bundle / "statement.json", old, new)


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path.name} holds no {old}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def _samples(record: MadeRecord, column: str, value: object) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = record.bundle / "samples.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[5][column] = value
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def _narrow(record: MadeRecord) -> None:
    path = record.bundle / "statement.json"
    value = json.loads(path.read_bytes())
    metric = value["predicate"]["metrics"][0]
    metric["low"] = metric["high"] = metric["value"]
    path.write_bytes(canonical(value))


def _other_place(record: MadeRecord) -> None:
    path = record.bundle / "log.json"
    value = json.loads(path.read_bytes())
    path.write_bytes(canonical({**value, "leaf_index": value["leaf_index"] + 1}))


def _sign_again(record: MadeRecord) -> None:
    forger = create_private_key()
    sign_bundle(record.bundle, forger)
    log_bundle(record.bundle, forger)


TAMPERS: dict[str, Callable[[MadeRecord], None]] = {
    "weights": lambda r: _change(r.model / "model.safetensors", "w", "v"),
    "tokenizer": lambda r: _change(r.model / "tokenizer.json", '"a"', '"b"'),
    "chat template": lambda r: _change(r.model / "tokenizer_config.json", "m.content }}", "m.role }}"),
    "data row": lambda r: _change(r.data / "test.jsonl", "问 5", "问 6"),
    "few-shot order": lambda r: _samples(r, "fewshot_ids", ["train:1", "train:0"]),
    "prompt": lambda r: _samples(r, "prompt", "?"),
    "answer": lambda r: _samples(r, "output", "b"),
    "metric": lambda r: _statement(r, '"n":12', '"n":13'),
    "interval": _narrow,
    "seed": lambda r: _statement(r, '"seed":17,"stop"', '"seed":18,"stop"'),
    "package lock": lambda r: _statement(r, "2.13.0", "2.13.1"),
    "signer": _sign_again,
    "log position": _other_place,
}
