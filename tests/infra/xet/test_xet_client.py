"""The real hf_xet client against the format room: recorded bytes, then live conversations."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from llmos.infra.xet.codec import iter_raw_chunks
from llmos.infra.xet.hashes import from_hex
from llmos.infra.xet.shard import parse_shard
from llmos.infra.xet.shard_writer import write_shard
from llmos.infra.xet.verify import check_file, check_xorb_claim
from llmos.infra.xet.xorb import parse_xorb

Sample: TypeAlias = Callable[[str, int], bytes]
FIXTURES = Path(__file__).parent / "fixtures"


def test_recorded_upload_is_verified_and_restores_every_file() -> None:
    body = (FIXTURES / "xorb.bin").read_bytes()
    shard_body = (FIXTURES / "shard.bin").read_bytes()
    shard = parse_shard(shard_body)
    (claim,) = shard.xorbs
    parsed = parse_xorb(body, claim.xorb_hash)
    table = parsed.table()
    check_xorb_claim(claim, table)
    assert {record.scheme for record in parsed.records} == {0, 1, 2}
    assert write_shard(shard.files, shard.xorbs) == shard_body

    files = {file.file_hash: file for file in shard.files}
    expected = json.loads((FIXTURES / "files.json").read_text())
    assert len(files) == len(expected) == 3
    for entry in expected:
        file = files[from_hex(entry["xet_hash"])]
        assert check_file(file, {claim.xorb_hash: table}.__getitem__) == entry["size_bytes"]
        assert file.sha256 == entry["sha256"]
        content = b""
        for term in file.terms:
            start, end = table.packed_range(term.chunk_start, term.chunk_end)
            content += b"".join(iter_raw_chunks(body[start:end]))
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]


@pytest.mark.parametrize("face", ["cas", "cas_v2"])
def test_client_round_trip(
    face: str, tmp_path: Path, sample_bytes: Sample, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(face)
    paths = []
    for kind, size in (("bf16", 1_500_001), ("text", 900_000), ("noise", 700_003)):
        paths.append(tmp_path / kind)
        paths[-1].write_bytes(sample_bytes(kind, size))
    # One file repeats pieces of the others, so that it has several terms and merged ranges.
    mixed = paths[0].read_bytes()[:800_000] + paths[2].read_bytes() + paths[0].read_bytes()
    paths.append(tmp_path / "mixed")
    paths[-1].write_bytes(mixed)

    answer = server.run_client(tmp_path / "home", upload=paths)
    assert server.refusals == []
    assert [name for name, _, _ in answer["uploaded"]] == [name for name, _ in answer["hashes"]]
    for path, (name, _, digest) in zip(paths, answer["uploaded"], strict=True):
        file = server.files[from_hex(name)]
        assert file.size_bytes == path.stat().st_size
        assert file.sha256 == digest == hashlib.sha256(path.read_bytes()).hexdigest()

    wholes = [
        (name, size, tmp_path / f"copy-{path.name}")
        for path, (name, size) in zip(paths, answer["hashes"], strict=True)
    ]
    name, size = answer["hashes"][3]
    spans = [(0, 1), (size - 10, size), (790_000, 1_600_000), (65_536, 65_537)]
    ranges = [(name, size, tmp_path / f"range-{a}", a, b) for a, b in spans]
    server.run_client(tmp_path / "other-home", download=wholes, ranges=ranges)
    assert server.refusals == []
    for path, (_, _, copy) in zip(paths, wholes, strict=True):
        assert copy.read_bytes() == path.read_bytes()
    for _, _, copy, start, end in ranges:
        assert copy.read_bytes() == mixed[start:end]


def test_client_takes_the_keyed_dedup_reply(cas_v2: Any, tmp_path: Path, sample_bytes: Sample) -> None:
    original = tmp_path / "original"
    original.write_bytes(sample_bytes("bf16", 3_000_000))
    cas_v2.run_client(tmp_path / "ada", upload=[original])
    sent = set(cas_v2.xorbs)

    same = tmp_path / "same"
    same.write_bytes(original.read_bytes())
    cas_v2.run_client(tmp_path / "grace", upload=[same])
    assert cas_v2.refusals == []
    assert len(cas_v2.shard_bodies) == 2
    assert set(cas_v2.xorbs) == sent, "a fresh client sends no byte of a file known by dedup"
