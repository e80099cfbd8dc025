"""Clocks that are wrong: this machine's goes forward and back, others' differ from it."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from datetime import tzinfo as TzInfo
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from llmos.app.doctor import examine
from llmos.cli.root import main
from llmos.core import clock
from llmos.features.accounts.actor import OPERATOR
from llmos.features.accounts.audit import record
from llmos.features.accounts.policy import access_user
from llmos.features.auth.tokens import create_token
from llmos.infra.runtime import Runtime
from llmos.infra.security.ratelimit import WINDOW_S, Window
from llmos.infra.settings import get_settings

HOUR_S = 3600
DAY_S = 24 * HOUR_S
Shift = Callable[[float], None]
_true_time, _true_datetime = time.time, datetime


@pytest.fixture
def shift(monkeypatch: pytest.MonkeyPatch) -> Shift:
    """Set this process's clock so many seconds ahead of the true time."""

    def move(ahead_s: float) -> None:
        class Shifted(datetime):
            @classmethod
            def now(cls, tz: TzInfo | None = None) -> datetime:  # type: ignore[override]
                return _true_datetime.now(tz) + timedelta(seconds=ahead_s)

        monkeypatch.setattr(time, "time", lambda: _true_time() + ahead_s)
        monkeypatch.setattr(clock, "datetime", Shifted)

    return move


@pytest.fixture
def ada(app_client: TestClient, tokens: dict[str, str]) -> TestClient:
    app_client.headers["Authorization"] = f"Bearer {tokens['ada']}"
    assert app_client.post("/api/repos/create", json={"name": "tiny-llm"}).status_code == 200
    return app_client


def commit(client: TestClient, path: str) -> str:
    lines = [
        {"key": "header", "value": {"summary": f"Add {path}"}},
        {"key": "file", "value": {"path": path, "content": "eA==", "encoding": "base64"}},
    ]
    answer = client.post(
        "/api/models/ada/tiny-llm/commit/main",
        content="\n".join(map(json.dumps, lines)),
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert answer.status_code == 200, answer.text
    oid: str = answer.json()["commitOid"]
    return oid


def test_tokens_end_by_this_clock_and_come_back_with_it(
    rt: Runtime, tokens: dict[str, str], app_client: TestClient, shift: Shift
) -> None:
    with rt.database.writing() as db:
        owner = access_user(db, OPERATOR, "ada")
        _, value = create_token(db, OPERATOR, owner, name="ci", role="write", expires_in_days=1)
    headers = {"Authorization": f"Bearer {value}"}
    for ahead_s, status in ((-DAY_S, 200), (23 * HOUR_S, 200), (25 * HOUR_S, 401), (0, 200)):
        shift(ahead_s)
        answer = app_client.get("/api/whoami-v2", headers=headers)
        assert answer.status_code == status, ahead_s
    shift(100 * DAY_S)
    lasting = {"Authorization": f"Bearer {tokens['ada']}"}
    assert app_client.get("/api/whoami-v2", headers=lasting).status_code == 200


def test_signed_links_outlive_a_clock_set_back_but_not_their_time(ada: TestClient, shift: Shift) -> None:
    data = os.urandom(1000)
    oid = hashlib.sha256(data).hexdigest()
    batch = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": oid, "size": 1000}]}
    (answer,) = ada.post("/ada/tiny-llm.git/info/lfs/objects/batch", json=batch).json()["objects"]
    link = answer["actions"]["upload"]["href"]
    shift(30 * DAY_S)
    late = ada.put(link, content=data)
    assert 400 <= late.status_code < 500
    shift(-DAY_S)
    assert ada.put(link, content=data).status_code in (200, 201)


def test_xet_tokens_end(ada: TestClient, shift: Shift) -> None:
    given = ada.get("/api/models/ada/tiny-llm/xet-write-token/main").json()
    assert 0 < given["exp"] - _true_time() <= DAY_S
    chunk = f"{given['casUrl']}/v1/chunks/default/{'0' * 64}"
    headers = {"Authorization": f"Bearer {given['accessToken']}"}
    for ahead_s, status in ((-DAY_S, 404), (0, 404), (2 * DAY_S, 401)):
        shift(ahead_s)
        assert ada.get(chunk, headers=headers).status_code == status, ahead_s


def test_work_goes_on_after_the_clock_was_set_back(ada: TestClient, shift: Shift) -> None:
    shift(10 * DAY_S)
    first = commit(ada, "future.txt")
    shift(-DAY_S)
    second = commit(ada, "now.txt")
    history = ada.get("/api/models/ada/tiny-llm/commits/main").json()
    assert [item["id"] for item in history[:2]] == [second, first], "by parents, not by dates"
    assert ada.get("/api/models/ada/tiny-llm").json()["sha"] == second
    for path in (
        "/api/models?sort=trendingScore&full=true",
        "/api/models?sort=lastModified",
        "/api/models/ada/tiny-llm/tree/main?expand=true",
        "/ada/tiny-llm",
        "/ada/tiny-llm/commits/main",
    ):
        assert ada.get(path).status_code == 200, path


def test_rate_limits_stay_within_their_bounds_whatever_the_clock_does() -> None:
    window = Window("api", 10)
    for now_s in (10_000.0, 10_000.0 + DAY_S, 10_000.0 - DAY_S, 0.0, 1.0):
        remaining, reset_s = window.take("ada", now_s)
        assert 0 <= remaining <= 10
        assert 0 < reset_s <= WINDOW_S


def clock_findings(rt: Runtime) -> list[tuple[str, str]]:
    return [(found.state, found.detail) for found in examine(rt) if found.check == "clock"]


def test_doctor_finds_this_clock_wrong(rt: Runtime, tokens: dict[str, str], shift: Shift) -> None:
    [(state, _)] = clock_findings(rt)
    assert state == "ok"
    shift(90)
    assert ("fail", "the file system's clock is 90 s behind this machine's") in clock_findings(rt)
    shift(-90)
    assert ("fail", "the file system's clock is 90 s ahead of this machine's") in clock_findings(rt)
    if not rt.database.is_sqlite:
        assert ("fail", "the database's clock is 90 s ahead of this machine's") in clock_findings(rt)
    shift(-3 * 365 * DAY_S)
    assert any("the clock says" in detail for _, detail in clock_findings(rt))


def test_doctor_sees_that_the_clock_went_back(rt: Runtime, tokens: dict[str, str], shift: Shift) -> None:
    shift(DAY_S)
    with rt.database.writing() as db:
        record(db, OPERATOR, "token.create", "ada")
    shift(0)
    [(state, detail)] = clock_findings(rt)
    assert (state, "the clock went back" in detail) == ("fail", True)


@contextmanager
def store_with_a_clock(ahead_s: float) -> Iterator[str]:
    """An object store that lets nobody in and dates its answers by its own clock."""

    class Handler(BaseHTTPRequestHandler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(_true_time() + ahead_s, usegmt=True)

        def do_HEAD(self) -> None:
            self.send_response(403)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as store:
        threading.Thread(target=store.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{store.server_address[1]}"
        store.shutdown()


@pytest.mark.parametrize(("ahead_s", "words"), [(HOUR_S, "ahead of"), (-HOUR_S, "behind"), (0, "")])
def test_doctor_compares_with_the_object_store(
    rt: Runtime, ahead_s: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store_with_a_clock(ahead_s) as url:
        rt.settings.storage_endpoint = url
        [(state, detail)] = clock_findings(rt)
        assert (state, words in detail) == ("fail" if words else "ok", True)
        monkeypatch.setenv("LLMOS_HOME", str(rt.settings.home))
        monkeypatch.setenv("LLMOS_STORAGE_ENDPOINT", url)
        if rt.database.is_sqlite:
            get_settings.cache_clear()
            said = CliRunner().invoke(main, ["doctor"])
            get_settings.cache_clear()
            assert ("timedatectl" in said.output) == bool(words)
    rt.settings.storage_endpoint = "http://127.0.0.1:1"
    assert clock_findings(rt)[0][0] == "ok", "another check's business"
