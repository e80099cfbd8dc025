"""Signing in, up and out, and what must not work on the way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from kit.browser import ORIGIN, PASSWORD, Browser
from llmos.features.accounts import invitations, service
from llmos.features.accounts.actor import OPERATOR
from llmos.features.accounts.models import AuditEvent, User
from llmos.features.auth.edge import SESSION_COOKIE
from llmos.infra.runtime import Runtime

Open = Callable[[], Browser]


def is_signed_in(browser: Browser) -> bool:
    return browser.get("/settings/profile").status_code == 200


def test_sign_in_by_name_or_address_in_any_case(people: dict[str, User], open_browser: Open) -> None:
    for login in ("ada", "ADA", "Ada@Example.org"):
        browser = open_browser()
        assert browser.sign_in(login).headers["location"] == "/"
        assert is_signed_in(browser)


def test_the_cookie_is_out_of_reach_of_scripts(people: dict[str, User], browser: Browser) -> None:
    cookie = browser.sign_in("ada").headers["set-cookie"]
    assert cookie.startswith(f"{SESSION_COOKIE}=")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie


def test_all_failures_look_the_same(rt: Runtime, people: dict[str, User], browser: Browser) -> None:
    with rt.database.writing() as db:
        service.disable_user(db, OPERATOR, db.get_one(User, people["grace"].id))
    answers = []
    for login, password in (("ada", "wrong password"), ("nobody", PASSWORD), ("grace", PASSWORD)):
        page = browser.sign_in(login, password)
        answers.append((page.status_code, page.text.replace(login, "?")))
    assert answers[0][0] == 401
    assert "The name or the password is not right." in answers[0][1]
    tokenless = [text.split("csrf_token")[0] for _, text in answers]
    assert len(set(tokenless)) == 1
    assert not is_signed_in(browser)


def test_signing_in_gives_a_new_session_and_ends_the_one_brought_along(
    people: dict[str, User], open_browser: Open
) -> None:
    attacker = open_browser()
    attacker.sign_in("grace")
    planted = attacker.client.cookies[SESSION_COOKIE]
    victim = open_browser()
    token = victim.token()
    visitor = victim.client.cookies["llmos_visitor"]
    answer = victim.client.post(
        "/login",
        data={"csrf_token": token, "login": "ada", "password": PASSWORD},
        headers={"origin": ORIGIN, "cookie": f"{SESSION_COOKIE}={planted}; llmos_visitor={visitor}"},
    )
    # The planted session is grace's, whose form token this is not.
    assert answer.status_code == 403
    victim.sign_in("ada")
    first = victim.client.cookies[SESSION_COOKIE]
    victim.client.cookies.delete(SESSION_COOKIE)
    victim.sign_in("ada")
    assert victim.client.cookies[SESSION_COOKIE] not in (first, planted)


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", "evil", ""]
)
def test_no_redirect_to_another_site(people: dict[str, User], browser: Browser, target: str) -> None:
    assert browser.sign_in("ada", next=target).headers["location"] == "/"
    again = browser.client.get("/login", params={"next": target})
    assert again.headers["location"] == "/"


def test_sign_in_leads_back(people: dict[str, User], browser: Browser) -> None:
    page = browser.get("/device?user_code=BCDF-GHJK")
    assert page.headers["location"] == "/login?next=/device%3Fuser_code%3DBCDF-GHJK"
    target = "/device?user_code=BCDF-GHJK"
    assert browser.sign_in("ada", next=target).headers["location"] == target


def test_sign_out_ends_the_session_on_the_server(ada: Browser) -> None:
    secret = ada.client.cookies[SESSION_COOKIE]
    assert ada.post("/logout").status_code == 303
    ada.client.cookies.set(SESSION_COOKIE, secret)
    assert not is_signed_in(ada)


def test_forms_without_their_token_are_refused(ada: Browser, open_browser: Open) -> None:
    headers = {"origin": ORIGIN}
    foreign = open_browser().token("/login")
    for data in ({}, {"csrf_token": "x.y"}, {"csrf_token": foreign}):
        answer = ada.client.post("/settings/profile", data={**data, "fullname": "Mallory"}, headers=headers)
        assert answer.status_code == 403
    assert "Mallory" not in ada.get("/settings/profile").text


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {}, {"sec-fetch-site": "cross-site"}])
def test_forms_from_another_site_are_refused(ada: Browser, headers: dict[str, str]) -> None:
    data = {"csrf_token": ada.token("/settings/profile"), "fullname": "Mallory"}
    assert ada.client.post("/settings/profile", data=data, headers=headers).status_code == 403


def test_over_long_and_odd_forms_are_refused(browser: Browser) -> None:
    headers = {"origin": ORIGIN, "content-type": "application/x-www-form-urlencoded"}
    assert browser.client.post("/login", content=b"a" * 70_000, headers=headers).status_code == 413
    odd = browser.post("/login", "/login", login="a\0da", password="x")
    assert odd.status_code == 400


def test_join_creates_an_account_and_signs_in(rt: Runtime, browser: Browser) -> None:
    answer = browser.post(
        "/join", "/join", name="hedy", password=PASSWORD, fullname="Hedy L", email="h@example.org"
    )
    assert answer.status_code == 303
    assert "Hedy L" in browser.get("/settings/profile").text
    with rt.database.reading() as db:
        actions = db.scalars(select(AuditEvent.action).order_by(AuditEvent.id)).all()
    assert actions == ["user.create", "session.create"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "Ada"}, "is taken"),
        ({"name": "login"}, "is reserved"),
        ({"name": "a--b"}, "A name has letters"),
        ({"name": "x" * 43}, "too long"),
        ({"name": ""}, "Choose a name"),
        ({"password": "short"}, "too short"),
        ({"password": "hedwig99"}, "may not be the name"),
        ({"password": "aaaaaaaaaa"}, "too simple"),
        ({"email": "nonsense"}, "must look like"),
        ({"email": "ADA@example.org"}, "cannot be used"),
        ({"fullname": "x" * 101}, "full name"),
    ],
)
def test_join_says_what_to_mend(
    people: dict[str, User], browser: Browser, fields: dict[str, str], message: str
) -> None:
    data = {"name": "hedwig99", "password": PASSWORD, "fullname": "", "email": "", **fields}
    page = browser.post("/join", "/join", **data)
    assert page.status_code in (400, 409)
    assert message in page.text
    assert not is_signed_in(browser)


def test_closed_and_invited_sign_up(rt: Runtime, people: dict[str, User], browser: Browser) -> None:
    token = browser.token("/login")
    rt.settings.signup = "closed"
    assert browser.get("/join").status_code == 403
    headers = {"origin": ORIGIN}
    data = {"csrf_token": token, "name": "hedy", "password": PASSWORD}
    assert browser.client.post("/join", data=data, headers=headers).status_code == 403
    rt.settings.signup = "invite"
    assert browser.client.post("/join", data=data, headers=headers).status_code == 403
    refused = browser.client.post("/join", data={**data, "invite": "made-up"}, headers=headers)
    assert refused.status_code == 404
    with rt.database.writing() as db:
        secret = invitations.create_site_invitation(db, OPERATOR)
    page = browser.get(f"/-/invite/{secret}")
    assert page.headers["location"] == f"/join?invite={secret}"
    assert browser.client.post("/join", data={**data, "invite": secret}, headers=headers).status_code == 303
    late = {**data, "name": "hedy2", "invite": secret, "csrf_token": browser.token("/settings/profile")}
    assert browser.client.post("/join", data=late, headers=headers).status_code == 404
