"""Xorbs: round trips, the real client's bytes, and hostile ones."""

import contextlib
import io
import tracemalloc
from collections.abc import Callable

import lz4.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.infra.xet.codec import decode_chunk, encode_chunk, iter_raw_chunks
from llmos.infra.xet.errors import XetFormatError
from llmos.infra.xet.hashes import hash_chunk
from llmos.infra.xet.xorb import XorbVerifier, build_xorb, parse_xorb

CHUNKS = st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=12)
SCHEMES = st.sampled_from([None, 0, 1, 2])


def packed_chunk(data: bytes, scheme: int, raw_size: int, version: int = 0) -> bytes:
    header = bytes([version]) + len(data).to_bytes(3, "little") + bytes([scheme])
    return header + raw_size.to_bytes(3, "little") + data


@given(CHUNKS, SCHEMES, st.integers(1, 500))
def test_xorb_round_trip_from_bytes_file_and_pieces(
    chunks: list[bytes], scheme: int | None, step: int
) -> None:
    body, built = build_xorb(chunks, scheme)
    assert parse_xorb(body, built.xorb_hash) == built
    assert parse_xorb(io.BytesIO(body), built.xorb_hash) == built
    verifier = XorbVerifier()
    for start in range(0, len(body), step):
        verifier.feed(body[start : start + step])
    assert verifier.finish(built.xorb_hash) == built
    assert [bytes(raw) for raw in iter_raw_chunks(body)] == chunks
    assert [r.hash for r in built.records] == [hash_chunk(raw) for raw in chunks]
    assert list(built.table()) == built.records


@given(st.binary(min_size=1, max_size=4000), st.sampled_from([0, 1, 2]))
def test_chunk_round_trip_in_each_scheme(raw: bytes, scheme: int) -> None:
    used, data = encode_chunk(raw, scheme)
    assert used == scheme
    assert decode_chunk(scheme, data, len(raw)) == raw


def test_the_smallest_scheme_is_chosen(sample_bytes: Callable[[str, int], bytes]) -> None:
    assert encode_chunk(sample_bytes("bf16", 65_536))[0] == 2
    assert encode_chunk(sample_bytes("text", 65_536))[0] == 1
    assert encode_chunk(sample_bytes("noise", 65_536))[0] == 0


def test_byte_grouping_puts_a_short_tail_in_the_first_groups() -> None:
    grouped = lz4.frame.compress(bytes([0, 4, 1, 5, 2, 3]))
    assert decode_chunk(2, grouped, 6) == bytes(range(6))


def test_footer_ends_the_xorb_wherever_the_pieces_are_cut() -> None:
    body, built = build_xorb([b"ada", b"grace"])
    with_footer = body + b"XETBLOB" + b"\1" * 300
    assert parse_xorb(with_footer, built.xorb_hash) == built
    for cut in range(len(body) - 1, len(with_footer)):
        verifier = XorbVerifier()
        verifier.feed(with_footer[:cut])
        verifier.feed(with_footer[cut:])
        assert verifier.finish() == built


def test_wrong_name_is_refused() -> None:
    body, _ = build_xorb([b"ada"])
    with pytest.raises(XetFormatError, match="hashes to"):
        parse_xorb(body, b"x" * 32)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"XETBLOB\1",
        packed_chunk(b"ada", 0, 3)[:-1],
        packed_chunk(b"ada", 0, 3) + b"\0\0",
        packed_chunk(b"ada", 0, 3, version=1),
        packed_chunk(b"ada", 3, 3),
        packed_chunk(b"ada", 0, 4),
        packed_chunk(b"", 0, 0),
        packed_chunk(b"ada", 0, 0),
        packed_chunk(b"a" * 131_073, 0, 131_073),
        packed_chunk(b"a" * 262_145, 1, 9),
        packed_chunk(b"not a frame", 1, 3),
        packed_chunk(lz4.frame.compress(b"ada"), 1, 2),
        packed_chunk(lz4.frame.compress(b"ada"), 1, 4),
        packed_chunk(lz4.frame.compress(b"ada")[:-1], 1, 3),
        packed_chunk(lz4.frame.compress(b"ada") + b"tail", 1, 3),
        packed_chunk(lz4.frame.compress(b"ada"), 2, 4),
    ],
)
def test_malformed_xorbs_are_refused(body: bytes) -> None:
    with pytest.raises(XetFormatError):
        parse_xorb(body)


def test_limits_on_chunks_and_bytes() -> None:
    one = packed_chunk(b"a", 0, 1)
    assert len(parse_xorb(one * 8192).records) == 8192
    with pytest.raises(XetFormatError, match="8192 chunks"):
        parse_xorb(one * 8193)
    with pytest.raises(XetFormatError, match="67108864 bytes"):
        parse_xorb(bytes(64 * 1024 * 1024 + 1))
    with pytest.raises(XetFormatError):
        build_xorb([b"a"] * 8193)
    with pytest.raises(XetFormatError):
        build_xorb([b"a" * 131_073])


@pytest.mark.parametrize("content_size", [True, False])
def test_a_bomb_is_refused_without_unfolding(content_size: bool) -> None:
    unfolded = 60_000_000
    bomb = lz4.frame.compress(bytes(unfolded), block_size=lz4.frame.BLOCKSIZE_MAX4MB, store_size=content_size)
    body = packed_chunk(bomb, 1, 131_072)
    assert len(bomb) < 262_144
    tracemalloc.start()
    try:
        with pytest.raises(XetFormatError):
            parse_xorb(body)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("block_size", [lz4.frame.BLOCKSIZE_MAX64KB, lz4.frame.BLOCKSIZE_MAX256KB])
@pytest.mark.parametrize("scheme", [1, 2])
def test_frames_as_clients_make_them_are_taken_as_strictly_as_others(scheme: int, block_size: int) -> None:
    """One block without checksums goes a quicker way; it must not let pass what a decoder refuses."""
    raw = (b"weights " * 9000)[: 64 * 1024]
    frame = lz4.frame.compress(raw, block_size=block_size, block_linked=False, store_size=False)
    assert len(parse_xorb(packed_chunk(frame, scheme, len(raw))).records) == 1
    edges = [*range(12), *range(len(frame) - 6, len(frame))]
    for damaged in [
        *(frame[:i] + bytes([frame[i] ^ bit]) + frame[i + 1 :] for i in edges for bit in (1, 8, 64, 128)),
        frame[:-4],
        frame + bytes(4),
        frame[:-4] + frame[7:],
    ]:
        decoder = lz4.frame.LZ4FrameDecompressor()
        try:
            is_fine = len(decoder.decompress(damaged, len(raw) + 1)) == len(raw) and decoder.eof
            is_fine = is_fine and not decoder.unused_data
        except RuntimeError:
            is_fine = False
        try:
            parse_xorb(packed_chunk(damaged, scheme, len(raw)))
            is_taken = True
        except XetFormatError:
            is_taken = False
        assert is_taken == is_fine


@settings(max_examples=300)
@given(CHUNKS, SCHEMES, st.data())
def test_damaged_xorbs_raise_nothing_but_the_typed_error(
    chunks: list[bytes], scheme: int | None, data: st.DataObject
) -> None:
    body, built = build_xorb(chunks, scheme)
    where = data.draw(st.integers(0, len(body) - 1))
    junk = data.draw(st.binary(max_size=12))
    damaged = body[:where] + junk + body[where + data.draw(st.integers(0, 12)) :]
    try:
        parsed = parse_xorb(damaged, built.xorb_hash)
    except XetFormatError:
        return
    # A change that survives (a frame's header flags, say) must not have touched the content.
    assert [bytes(raw) for raw in iter_raw_chunks(damaged[: parsed.packed_bytes])] == chunks


@given(st.binary(max_size=400))
def test_junk_raises_nothing_but_the_typed_error(body: bytes) -> None:
    with pytest.raises(XetFormatError):
        parse_xorb(body, b"x" * 32)
    for scheme in range(4):
        try:
            decode_chunk(scheme, body, 100)
        except XetFormatError:
            continue
        assert scheme == 0
        assert len(body) == 100
    with contextlib.suppress(XetFormatError):
        sum(len(raw) for raw in iter_raw_chunks(body))
