"""Receiving bodies: exact lengths, limits, and nothing left behind."""

import asyncio
import hashlib
import os

import pytest
from starlette.requests import ClientDisconnect

from llmos.core.errors import BadRequest, LlmosError, TooLarge, Unprocessable
from llmos.infra.web.bodies import (
    check_content_length,
    read_body,
    receive_into,
    receive_message,
    received_file,
)

DATA = os.urandom(5_000_001)


def messages(*parts, ends=True):
    queue = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    queue.append(
        {"type": "http.request", "body": b"", "more_body": False} if ends else {"type": "http.disconnect"}
    )

    async def receive():
        return queue.pop(0)

    return receive


def pieces(size):
    return [DATA[start : start + size] for start in range(0, len(DATA), size)]


def store(receive, folder, expected):
    async def work():
        async with received_file(receive, folder, expected_bytes=expected) as file:
            return file.path.read_bytes(), file.sha256

    return asyncio.run(work())


@pytest.mark.parametrize("size", [1000, 65_536, 5_000_001])
def test_the_file_holds_the_body_and_its_hash(tmp_path, size):
    data, sha256 = store(messages(*pieces(size)), tmp_path, len(DATA))
    assert data == DATA
    assert sha256 == hashlib.sha256(DATA).hexdigest()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("expected", [len(DATA) - 1, len(DATA) + 1, 0])
def test_another_length_is_refused(tmp_path, expected):
    with pytest.raises(Unprocessable):
        store(messages(*pieces(65_536)), tmp_path, expected)
    assert list(tmp_path.iterdir()) == []


def test_a_client_that_leaves_leaves_nothing(tmp_path):
    with pytest.raises(ClientDisconnect):
        store(messages(*pieces(65_536), ends=False), tmp_path, len(DATA))
    assert list(tmp_path.iterdir()) == []


def test_small_bodies_have_a_limit():
    assert asyncio.run(read_body(messages(b"ab", b"c"), limit_bytes=3)) == b"abc"
    with pytest.raises(TooLarge):
        asyncio.run(read_body(messages(b"ab", b"cd"), limit_bytes=3))


def test_a_sleeping_client_is_given_up():
    async def never():
        await asyncio.Event().wait()

    with pytest.raises(LlmosError) as refused:
        asyncio.run(receive_message(never, timeout_s=0.01))
    assert refused.value.status == 408


@pytest.mark.parametrize(
    ("value", "error"), [("7", Unprocessable), ("x", BadRequest), ("9" * 30, BadRequest)]
)
def test_a_wrong_announcement_is_refused_before_reading(value, error):
    with pytest.raises(error):
        check_content_length({"content-length": value}, 8)
    check_content_length({"content-length": "8"}, 8)
    check_content_length({}, 8)


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_write_that_fails_is_never_taken_for_success(tmp_path, size):
    path = tmp_path / "x"
    path.touch()
    data = os.urandom(20 * size)

    async def work():
        fd = os.open(path, os.O_RDONLY)  # nothing can be written to it
        try:
            await receive_into(messages(*[data[:size]] * 20), fd, expected_bytes=20 * size)
        finally:
            os.close(fd)

    with pytest.raises(OSError, match="descriptor"):
        asyncio.run(work())


def test_many_pieces_keep_their_order(tmp_path):
    parts = [number.to_bytes(4, "big") * 50_000 for number in range(200)]
    whole = b"".join(parts)
    data, sha256 = store(messages(*parts), tmp_path, len(whole))
    assert data == whole
    assert sha256 == hashlib.sha256(whole).hexdigest()
