"""Live news over real connections to a real server."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from kit.databases import Databases
from kit.people import add_people
from kit.server import live_server
from llmos.core.names import name_key
from llmos.features.accounts.models import Namespace
from llmos.features.notifications import service
from llmos.features.notifications.service import News
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings

PAGES = 8


def connect(port: int, token: str) -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", port), timeout=15)
    head = (
        f"GET /notifications/live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    opened.sendall(head.encode())
    return opened


def connect_when_there_is_room(port: int, token: str) -> socket.socket:
    """The server learns a moment later that a page was closed."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        opened = connect(port, token)
        if opened.recv(12, socket.MSG_WAITALL | socket.MSG_PEEK).endswith(b"200"):
            return opened
        opened.close()
    pytest.fail("closed pages still count")


def read_until(opened: socket.socket, mark: bytes) -> bytes:
    seen = b""
    while mark not in seen:
        part = opened.recv(4096)
        assert part, f"the connection ended: {seen!r}"
        seen += part
    return seen


def tell(rt: Runtime, key: str) -> None:
    with rt.database.writing() as db:
        ada = db.query(Namespace).filter_by(name_key=name_key("ada")).one().id
        grace = db.query(Namespace).filter_by(name_key=name_key("grace")).one().id
        assert (
            service.notify(db, {ada: "follow"}, News("followed", key, "grace", "/grace", actor_id=grace)) == 1
        )


@pytest.fixture
def home(tmp_path: Path, _databases: Databases) -> tuple[Path, dict[str, str], dict[str, str]]:
    extra = _databases.fill(tmp_path / "home")
    rt = open_runtime(Settings(home=tmp_path / "home", **extra))
    tokens = add_people(rt)
    rt.close()
    return tmp_path / "home", extra, tokens


def test_news_reaches_open_pages_within_a_second_and_the_server_stops_cleanly(
    home: tuple[Path, dict[str, str], dict[str, str]],
) -> None:
    folder, extra, tokens = home
    rt = open_runtime(Settings(home=folder, **extra))
    with live_server(folder, **extra) as server:
        pages = [connect(server.port, tokens["ada"]) for _ in range(PAGES)]
        others = [connect(server.port, tokens["grace"])]
        for page in [*pages, *others]:
            first = read_until(page, b"event: unread")
            assert b"200 OK" in first
            assert b"text/event-stream" in first
        one_too_many = connect(server.port, tokens["ada"])
        assert b"204" in read_until(one_too_many, b"\r\n\r\n")
        one_too_many.close()
        tell(rt, "followed:1")
        started = time.monotonic()
        for page in pages:
            seen = read_until(page, b"event: news")
            while b"}\n\n" not in seen:
                seen += page.recv(4096)
            data = json.loads(seen.rpartition(b"data: ")[2].partition(b"\n")[0])
            assert data == {"text": "grace follows you now", "title": "grace", "href": "/grace", "unread": 1}
        assert time.monotonic() - started < 1.5
        others[0].settimeout(0.6)
        with pytest.raises(TimeoutError):
            others[0].recv(1)
        pages[0].close()
        again = connect_when_there_is_room(server.port, tokens["ada"])
        assert b'{"unread":1}' in read_until(again, b"}\n\n")
        server.process.send_signal(signal.SIGTERM)
        try:
            server.process.wait(10)
        except subprocess.TimeoutExpired:
            pytest.fail("open pages keep the server from stopping")
        for page in [*pages[1:], *others, again]:
            page.close()
    rt.close()
