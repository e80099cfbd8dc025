from __future__ import annotations

import pytest

from llmos.infra.git.blobs import CHUNK_BYTES, MAX_WHOLE_BYTES, iter_blob
from llmos.infra.git.errors import EntryNotFound
from llmos.infra.git.objects import ObjectWriter


@pytest.mark.parametrize("size", [0, 10, CHUNK_BYTES + 1, MAX_WHOLE_BYTES + CHUNK_BYTES + 7])
def test_any_range_of_any_blob_is_streamed(git_repo, size: int) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    with ObjectWriter(git_repo) as writer:
        oid = writer.write_blob_stream([data], size)
        writer.flush()
    for start, length in [
        (0, None),
        (0, 5),
        (3, 4),
        (size // 2, None),
        (size, 1),
        (0, size * 2),
    ]:
        end = size if length is None else start + length
        chunks = list(iter_blob(git_repo, oid, start=start, length=length))
        assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in chunks)
        assert b"".join(chunks) == data[start:end]


def test_a_stream_left_early_ends_its_process(git_repo) -> None:
    size = MAX_WHOLE_BYTES * 2
    with ObjectWriter(git_repo) as writer:
        oid = writer.write_blob_stream([b"x" * size], size)
        writer.flush()
    stream = iter_blob(git_repo, oid)
    assert next(stream) == b"x" * CHUNK_BYTES
    stream.close()


def test_other_objects_are_not_contents(git_repo, commit) -> None:
    oid = commit({"a": b"1"})
    for other in (oid, "0" * 40, "x"):
        with pytest.raises(EntryNotFound):
            next(iter_blob(git_repo, other))
