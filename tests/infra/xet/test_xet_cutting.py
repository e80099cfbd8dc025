"""Files are cut where the official client cuts them."""

from __future__ import annotations

import io
from pathlib import Path

import hf_xet
import numpy as np
import pytest

from llmos.infra.xet.cutting import iter_chunks
from llmos.infra.xet.hashes import hash_chunk, to_hex
from llmos.infra.xet.merkle import file_hash

MIB = 1024 * 1024


def sample(name: str) -> bytes:
    rng = np.random.default_rng(3)
    weights = (rng.standard_normal(3 * MIB, dtype=np.float32) * 0.02).view(np.uint32) >> 16
    return {
        "empty": b"",
        "one byte": b"x",
        "shorter than a chunk": rng.bytes(8191),
        "noise": rng.bytes(6 * MIB + 1),
        "weights": weights.astype(np.uint16).tobytes(),
        "zeros": bytes(3 * MIB),
        "zeros in noise": rng.bytes(MIB // 2) + bytes(MIB) + rng.bytes(MIB // 2),
        "lines": b"".join(b"%d: the same words again\n" % number for number in range(100_000)),
    }[name]


@pytest.mark.parametrize(
    "name",
    ["empty", "one byte", "shorter than a chunk", "noise", "weights", "zeros", "zeros in noise", "lines"],
)
def test_the_client_finds_the_same_file_hash(name: str, tmp_path: Path) -> None:
    data = sample(name)
    chunks = list(iter_chunks(io.BytesIO(data)))
    assert b"".join(chunks) == data
    path = tmp_path / "data"
    path.write_bytes(data)
    (expected,) = hf_xet.hash_files([str(path)])
    assert to_hex(file_hash((hash_chunk(chunk), len(chunk)) for chunk in chunks)) == expected.hash


def test_short_reads_change_nothing() -> None:
    """A pipe gives less than it is asked for."""
    data = sample("noise")[: 2 * MIB]

    class Dripping(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 10_007))

    assert list(iter_chunks(Dripping(data))) == list(iter_chunks(io.BytesIO(data)))
