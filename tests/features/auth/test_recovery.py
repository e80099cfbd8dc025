"""Passwords and the links that set them; sessions; mail."""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest

from kit.browser import ORIGIN, PASSWORD, Browser
from llmos.core import clock
from llmos.core.errors import Conflict
from llmos.features.accounts.actor import OPERATOR
from llmos.features.accounts.models import User
from llmos.features.auth import links
from llmos.features.auth.models import OneTimeLink
from llmos.infra.queue.outbox import OutboxEvent, deliver_due
from llmos.infra.runtime import Runtime
from llmos.infra.settings import get_settings

Open = Callable[[], Browser]
NEW = "a different secret"


def path_of(url: str) -> str:
    return re.sub(r"^https?://[^/]+", "", url)


def test_the_first_administrator_claims_the_site(rt: Runtime, open_browser: Open) -> None:
    with rt.database.writing() as db:
        old = path_of(links.create_claim_link(db, rt))
        path = path_of(links.create_claim_link(db, rt))
    browser = open_browser()
    assert browser.get(old).status_code == 404
    weak = browser.post(path, path, name="boss", password="short")
    assert (weak.status_code, "too short" in weak.text) == (400, True)
    assert browser.post(path, path, name="boss", password=PASSWORD).status_code == 303
    assert browser.get("/-/admin/users").status_code == 200
    assert open_browser().get(path).status_code == 404
    with rt.database.writing() as db, pytest.raises(Conflict):
        links.create_claim_link(db, rt)


def test_a_claim_link_is_pointless_once_there_is_an_administrator(
    rt: Runtime, open_browser: Open, request: pytest.FixtureRequest
) -> None:
    with rt.database.writing() as db:
        path = path_of(links.create_claim_link(db, rt))
    request.getfixturevalue("people")
    assert open_browser().get(path).status_code == 404


def test_a_reset_link_sets_a_password_once_and_ends_sessions(
    rt: Runtime, ada: Browser, open_browser: Open
) -> None:
    admin = open_browser()
    admin.sign_in("root-admin")
    page = admin.post("/-/admin/users", "/-/admin/users", action="reset_link", name="ada")
    assert page.headers["cache-control"] == "no-store"
    path = path_of(re.search(r"http://testserver/-/reset/[\w-]+", page.text)[0])  # type: ignore[index]
    browser = open_browser()
    assert "ada" in browser.get(path).text
    assert browser.post(path, path, password="ada").status_code == 400
    assert browser.post(path, path, password=NEW).status_code == 303
    assert browser.get(path).status_code == 404
    assert ada.get("/settings/profile").status_code == 303
    assert browser.sign_in("ada").status_code == 401
    assert browser.sign_in("ada", NEW).status_code == 303


def test_old_links_do_not_work(rt: Runtime, people: dict[str, User], browser: Browser) -> None:
    with rt.database.writing() as db:
        user = db.get_one(User, people["ada"].id)
        path = path_of(links.create_reset_link(db, rt, OPERATOR, user))
    with rt.database.writing() as db:
        db.query(OneTimeLink).update({"expires_at": clock.now()})
    assert browser.get(path).status_code == 404


def test_changing_the_password_ends_the_other_sessions(ada: Browser, open_browser: Open) -> None:
    other = open_browser()
    other.sign_in("ada")
    page = "/settings/account"
    wrong = ada.post("/settings/password", page, old_password="wrong one", password=NEW)
    assert (wrong.status_code, "present password is not right" in wrong.text) == (403, True)
    weak = ada.post("/settings/password", page, old_password=PASSWORD, password="short")
    assert (weak.status_code, "too short" in weak.text) == (400, True)
    assert ada.post("/settings/password", page, old_password=PASSWORD, password=NEW).status_code == 303
    assert ada.get(page).status_code == 200
    assert other.get(page).status_code == 303


def test_sessions_can_be_ended_one_by_one(ada: Browser, open_browser: Open) -> None:
    other, grace = open_browser(), open_browser()
    other.sign_in("ada")
    grace.sign_in("grace")
    page = ada.get("/settings/account").text
    (session_id,) = re.findall(r'name="session_id" value="(\d+)"', page)
    assert grace.post("/settings/sessions", session_id=session_id).status_code == 404
    assert other.get("/settings/account").status_code == 200
    assert ada.post("/settings/sessions", session_id="x").status_code == 400
    assert ada.post("/settings/sessions", session_id=session_id).status_code == 303
    assert other.get("/settings/account").status_code == 303
    assert ada.get("/settings/account").status_code == 200


class _SmtpHandler(socketserver.StreamRequestHandler):
    """As much of SMTP as a client needs to hand over one message."""

    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        lines: list[str] = []
        in_data = False
        for raw in self.rfile:
            line = raw.decode().rstrip("\r\n")
            if in_data:
                if line == ".":
                    in_data = False
                    self.server.mails.append("\n".join(lines))  # type: ignore[attr-defined]
                    self.wfile.write(b"250 ok\r\n")
                else:
                    lines.append(line)
                continue
            verb = line[:4].upper()
            in_data = verb == "DATA"
            self.wfile.write(
                b"354 go\r\n" if in_data else b"221 bye\r\n" if verb == "QUIT" else b"250 ok\r\n"
            )
            if verb == "QUIT":
                return


@pytest.fixture
def mails(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A mail server; what arrived."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _SmtpHandler) as server:
        server.mails = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"smtp://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("LLMOS_SMTP_URL", url)
        get_settings.cache_clear()
        rt.settings.smtp_url = url
        yield server.mails  # type: ignore[attr-defined]
        server.shutdown()
        get_settings.cache_clear()


def test_a_forgotten_password_is_mended_by_mail(
    rt: Runtime, people: dict[str, User], browser: Browser, mails: list[str]
) -> None:
    known = browser.post("/-/forgot", "/-/forgot", login="ada")
    unknown = browser.post("/-/forgot", "/-/forgot", login="nobody")
    assert (known.status_code, known.headers["location"]) == (303, "/login")
    assert (unknown.status_code, unknown.headers["location"]) == (303, "/login")
    assert deliver_due(rt.database) == 1
    (mail,) = mails
    assert "To: ada@example.org" in mail
    link = re.search(r"/-/reset/[\w-]+", mail.replace("=\n", ""))
    assert link is not None
    assert browser.post(link[0], link[0], password=NEW).status_code == 303
    assert browser.sign_in("ada", NEW).status_code == 303


def test_an_address_is_confirmed_by_mail(rt: Runtime, browser: Browser, mails: list[str]) -> None:
    browser.post("/join", "/join", name="hedy", password=PASSWORD, email="hedy@example.org")
    assert deliver_due(rt.database) == 1
    link = re.search(r"/-/verify/[\w-]+", mails[0].replace("=\n", ""))
    assert link is not None
    assert "Confirmed" not in browser.get("/settings/account").text
    browser.post(link[0], link[0])
    assert "Confirmed" in browser.get("/settings/account").text
    browser.post("/settings/email", "/settings/account", email="new@example.org")
    assert "Confirmed" not in browser.get("/settings/account").text


def test_without_mail_nothing_is_queued(rt: Runtime, people: dict[str, User], browser: Browser) -> None:
    token = browser.token("/login")
    headers = {"origin": ORIGIN}
    answer = browser.client.post("/-/forgot", data={"csrf_token": token, "login": "ada"}, headers=headers)
    assert answer.status_code == 303
    with rt.database.reading() as db:
        assert db.query(OutboxEvent).count() == 0
