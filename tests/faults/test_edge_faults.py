"""Faults that reach the outermost layer become typed answers."""

from __future__ import annotations

import base64
import errno
import os

import pytest

from faults.conftest import commit_body
from faults.rawclient import RawClient


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_said_and_changes_nothing(
    ask: RawClient, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The operating system is what fails here, at the first attempt to make bytes durable."""
    before = ask("GET", "/api/models/ada/tiny-llm").json()["sha"]

    def no_room(_fd: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_room)
        answer = ask(
            "POST",
            "/api/models/ada/tiny-llm/commit/main",
            body=commit_body({"new.txt": "x"}),
            token=tokens["ada"],
        )
    assert answer.status == 507
    assert "disk is full" in answer.json()["error"]
    assert ask("GET", "/api/models/ada/tiny-llm").json()["sha"] == before
    assert ask("GET", "/ada/tiny-llm/resolve/main/new.txt").status == 404


def test_a_fault_nobody_foresaw_is_plain_and_has_an_id(
    ask: RawClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from llmos.protocols.hf import info

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(info, "access_repo", broken, raising=False)
    monkeypatch.setattr("llmos.protocols.hf.target.access_repo", broken)
    answer = ask("GET", "/api/models/ada/tiny-llm")
    assert answer.status == 500
    assert not answer.is_closed
    assert "secret" not in answer.text
    assert answer.json()["error"]
    assert answer.headers["x-request-id"] in caplog.text


@pytest.mark.parametrize(
    "value", [b"Basic \xff\xfe", b"Basic YTpi\xe9", b"Basic", b"Basic /", b"Bearer \xff"]
)
def test_a_damaged_credential_is_a_401(ask: RawClient, value: bytes) -> None:
    answer = ask("GET", "/api/whoami-v2", headers={"authorization": value})
    assert answer.status == 401
    assert answer.json()["error"]


RAW_CURSORS = [
    b"[" * 5000,
    b"[[1]]",
    b'[{"a":1}]',
    b"[1e999]",
    b"[%s]" % (b"9" * 400),
    b'["\\u0000"]',
    b'["\\ud800"]',
    b"[null]",
    b"[true]",
    b"\xff",
]


@pytest.mark.parametrize(
    "path",
    [
        "/api/models?sort=likes&",
        "/api/models?sort=createdAt&",
        "/api/models?",
        "/api/users/ada/followers?",
        "/api/users/ada/likes?",
        "/api/models/ada/tiny-llm/tree/main?",
        "/api/models/ada/tiny-llm/likers?",
        "/api/models/ada/tiny-llm/lfs-files?",
        "/api/settings/repositories?",
        "/api/organizations/lab/settings/repositories?",
        "/api/models/ada/tiny-llm/user-access-request/pending?",
        "/ada/tiny-llm/info/lfs/locks?",
        "/models?",
    ],
)
def test_a_forged_cursor_is_never_a_fault(ask: RawClient, tokens: dict[str, str], path: str) -> None:
    for raw in RAW_CURSORS:
        for size in (1, 2):
            answer = ask("GET", f"{path}limit=1&cursor={_cursor(raw, size)}", token=tokens["ada"])
            assert answer.status in (200, 400), (raw[:40], size, answer)


def _cursor(raw: bytes, size: int) -> str:
    if size == 1:
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return base64.urlsafe_b64encode(b"[%s]" % b",".join([raw[1:-1]] * size)).decode().rstrip("=")
