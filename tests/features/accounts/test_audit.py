"""Whatever changes who may do what leaves a row in the audit trail, and a refusal leaves none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import select

from kit.browser import PASSWORD, Browser
from llmos.features.accounts.actor import OPERATOR
from llmos.features.accounts.models import AuditEvent, User
from llmos.features.accounts.policy import access_user
from llmos.features.auth.tokens import create_token
from llmos.infra.runtime import Runtime

Open = Callable[[], Browser]
MEMBERS = "/orgs/lab/members"
TINY = "/api/models/ada/tiny"


class Trail:
    def __init__(self, rt: Runtime) -> None:
        self._rt = rt

    def rows(self) -> list[tuple[str, str, str]]:
        with self._rt.database.reading() as db:
            events = db.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
            return [(event.action, event.actor_name, event.subject) for event in events]

    @contextmanager
    def gains(self, *expected: tuple[str, str, str]) -> Iterator[None]:
        before = len(self.rows())
        yield
        assert self.rows()[before:] == list(expected)


@pytest.fixture
def trail(rt: Runtime, people: dict[str, User]) -> Trail:
    return Trail(rt)


@pytest.fixture
def call(rt: Runtime, ada: Browser) -> Callable[..., Any]:
    """Ask the API in the name of ada, or of grace."""
    values = {}
    with rt.database.writing() as db:
        for name in ("ada", "grace"):
            owner = access_user(db, OPERATOR, name)
            values[name] = create_token(db, OPERATOR, owner, name="api", role="write")[1]

    def send(method: str, path: str, body: object, person: str = "ada", status: int = 200) -> Any:
        headers = {"Authorization": f"Bearer {values[person]}"}
        answer = ada.client.request(method, path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer

    return send


def test_sign_in_and_credentials(trail: Trail, ada: Browser, open_browser: Open) -> None:
    other = open_browser()
    # Who signs in is nobody yet.
    with trail.gains(("session.create", "", "ada")):
        other.sign_in("ada")
    with trail.gains():
        open_browser().post("/login", "/login", login="ada", password="wrong")
    with trail.gains(("token.create", "ada", "ada")):
        ada.post("/settings/tokens", "/settings/tokens", name="laptop", role="write")
    token_id = re.findall(r'name="id" value="([0-9a-f]{24})"', ada.get("/settings/tokens").text)[0]
    with trail.gains(("token.revoke", "ada", "ada")):
        ada.post("/settings/tokens/revoke", "/settings/tokens", id=token_id)
    (session_id,) = re.findall(r'name="session_id" value="(\d+)"', ada.get("/settings/account").text)
    with trail.gains(("session.end", "ada", "ada")):
        ada.post("/settings/sessions", "/settings/account", session_id=session_id)
    with trail.gains(("session.end_all", "ada", "ada"), ("password.change", "ada", "ada")):
        ada.post(
            "/settings/password", "/settings/account", old_password=PASSWORD, password="a different secret"
        )


def test_organisations_and_their_members(trail: Trail, ada: Browser, grace: Browser) -> None:
    with trail.gains(("org.create", "ada", "lab")):
        ada.post("/organizations/new", name="lab", default_visibility="private")
    with trail.gains(("org.visibility", "ada", "lab")):
        ada.post("/orgs/lab/settings", "/orgs/lab/settings", fullname="Lab", default_visibility="public")
    with trail.gains(("invitation.create", "ada", "lab")):
        ada.post(MEMBERS, MEMBERS, action="invite", user="grace", role="read")
    (invitation,) = re.findall(r'name="id" value="(\d+)"', grace.get("/settings/organizations").text)
    with trail.gains(("member.add", "grace", "lab")):
        grace.post("/settings/invitations", "/settings/organizations", id=invitation, decision="accept")
    with trail.gains(("member.role", "ada", "lab")):
        ada.post(MEMBERS, MEMBERS, action="role", user="grace", role="write")
    with trail.gains():
        grace.post(MEMBERS, "/settings/organizations", action="role", user="grace", role="admin")
    with trail.gains(("member.remove", "ada", "lab")):
        ada.post(MEMBERS, MEMBERS, action="remove", user="grace")
    with trail.gains(("invitation.create", "ada", "lab")):
        ada.post(MEMBERS, MEMBERS, action="link", role="contributor")
    (invitation,) = re.findall(r'name="id" value="(\d+)"', ada.get(MEMBERS).text)
    with trail.gains(("invitation.withdraw", "ada", "lab")):
        ada.post(MEMBERS, MEMBERS, action="withdraw", id=invitation)


def test_repositories(trail: Trail, call: Callable[..., Any]) -> None:
    old, new = "model:ada/tiny", "model:ada/small"
    with trail.gains(("repo.create", "ada", old)):
        call("POST", "/api/repos/create", {"name": "tiny"})
    for change in ({"visibility": "private"}, {"visibility": "public"}, {"gated": "manual"}):
        with trail.gains(("repo.settings", "ada", old)):
            call("PUT", f"{TINY}/settings", change)
    with trail.gains():
        call("PUT", f"{TINY}/settings", {"gated": False}, person="grace", status=403)
    with trail.gains(("access.ask", "grace", old)):
        call("POST", "/ada/tiny/ask-access", {}, person="grace")
    for status in ("accepted", "pending", "rejected"):
        with trail.gains((f"access.{status}", "ada", old)):
            body = {"user": "grace", "status": status}
            call("POST", f"{TINY}/user-access-request/handle", body)
    with trail.gains(("access.grant", "ada", old)):
        call("POST", f"{TINY}/user-access-request/grant", {"user": "root-admin"})
    with trail.gains(("repo.move", "ada", new)):
        call("POST", "/api/repos/move", {"fromRepo": "ada/tiny", "toRepo": "ada/small", "type": "model"})
    with trail.gains(("repo.delete", "ada", new)):
        call("DELETE", "/api/repos/delete", {"name": "small", "organization": "ada"})


def test_administration(trail: Trail, people: dict[str, User], open_browser: Open) -> None:
    admin, page = open_browser(), "/-/admin/users"
    admin.sign_in("root-admin")
    for data, action, subject in (
        ({"action": "disable", "name": "ada"}, "user.disable", "ada"),
        ({"action": "enable", "name": "ada"}, "user.enable", "ada"),
        ({"action": "admin", "name": "grace"}, "user.admin", "grace"),
        ({"action": "quota", "name": "ada", "quota": "1"}, "quota.change", "ada"),
        ({"action": "reset_link", "name": "ada"}, "password.reset_link", "ada"),
        ({"action": "invite"}, "invitation.create", "site"),
    ):
        with trail.gains((action, "root-admin", subject)):
            admin.post(page, page, **data)
    with trail.gains():
        admin.post(page, page, action="disable", name="nobody-here")


def test_rows_are_only_ever_added(rt: Runtime, trail: Trail, ada: Browser) -> None:
    """Nothing the web offers changes or removes a row."""
    before = trail.rows()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = ada.client.request(method, "/-/admin/audit")
        assert answer.status_code in (401, 403, 404, 405)
    assert trail.rows() == before
