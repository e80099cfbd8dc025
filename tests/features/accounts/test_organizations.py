"""Organisations: who may do what to them, and that somebody always can."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from kit.browser import Browser
from llmos.features.accounts.actor import OPERATOR
from llmos.features.accounts.models import User
from llmos.features.accounts.organizations import get_membership
from llmos.features.accounts.policy import access_organization, access_user
from llmos.infra.runtime import Runtime

Open = Callable[[], Browser]
MEMBERS = "/orgs/lab/members"


@pytest.fixture
def lab(ada: Browser) -> None:
    """An organisation of ada."""
    made = ada.post("/organizations/new", name="lab", fullname="The Lab", default_visibility="private")
    assert made.headers["location"] == MEMBERS


def role_of(rt: Runtime, user: User) -> str | None:
    with rt.database.reading() as db:
        membership = get_membership(db, access_organization(db, OPERATOR, "lab"), user)
        return membership.role if membership else None


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [("Ada", 409, "is taken"), ("orgs", 400, "is reserved"), ("..", 400, "A name has letters")],
)
def test_names_are_shared_with_people(ada: Browser, name: str, status: int, message: str) -> None:
    page = ada.post("/organizations/new", name=name, default_visibility="public")
    assert (page.status_code, message in page.text) == (status, True)


@pytest.mark.parametrize("path", ["/orgs/lab/settings", MEMBERS])
def test_only_admins_manage(lab: None, ada: Browser, grace: Browser, open_browser: Open, path: str) -> None:
    assert ada.get(path).status_code == 200
    assert grace.get(path).status_code == 403
    assert open_browser().get(path).status_code == 303
    admin = open_browser()
    admin.sign_in("root-admin")
    assert admin.get(path).status_code == 200


def test_strangers_change_nothing(rt: Runtime, lab: None, people: dict[str, User], grace: Browser) -> None:
    for data in (
        {"action": "invite", "user": "grace", "role": "admin"},
        {"action": "link", "role": "admin"},
        {"action": "role", "user": "grace", "role": "admin"},
        {"action": "remove", "user": "ada"},
    ):
        assert grace.post(MEMBERS, **data).status_code == 403
    assert grace.post("/orgs/lab/settings", fullname="Mine").status_code == 403
    assert (role_of(rt, people["ada"]), role_of(rt, people["grace"])) == ("admin", None)


def test_an_invitation_by_name(
    rt: Runtime, lab: None, people: dict[str, User], ada: Browser, grace: Browser
) -> None:
    assert ada.post(MEMBERS, MEMBERS, action="invite", user="grace", role="write").status_code == 303
    assert role_of(rt, people["grace"]) is None
    page = grace.get("/settings/organizations").text
    (invitation_id,) = re.findall(r'name="id" value="(\d+)"', page)
    accept = {"id": invitation_id, "decision": "accept"}
    assert ada.post("/settings/invitations", **accept).status_code == 404
    assert grace.post("/settings/invitations", **accept).status_code == 303
    assert role_of(rt, people["grace"]) == "write"
    assert grace.post("/settings/invitations", **accept).status_code == 404
    again = ada.post(MEMBERS, MEMBERS, action="invite", user="grace", role="read")
    assert (again.status_code, "already a member" in again.text) == (409, True)


def test_an_invitation_can_be_declined_and_withdrawn(
    rt: Runtime, lab: None, people: dict[str, User], ada: Browser, grace: Browser
) -> None:
    ada.post(MEMBERS, MEMBERS, action="invite", user="grace", role="write")
    page = grace.get("/settings/organizations").text
    invitation_id = re.findall(r'name="id" value="(\d+)"', page)[0]
    grace.post("/settings/invitations", id=invitation_id, decision="decline")
    ada.post(MEMBERS, MEMBERS, action="invite", user="grace", role="write")
    (invitation_id,) = re.findall(r'name="id" value="(\d+)"', ada.get(MEMBERS).text)
    assert ada.post(MEMBERS, MEMBERS, action="withdraw", id=invitation_id).status_code == 303
    assert grace.post("/settings/invitations", id=invitation_id, decision="accept").status_code == 404
    assert role_of(rt, people["grace"]) is None


def test_an_invitation_link_works_once(
    rt: Runtime, lab: None, ada: Browser, grace: Browser, open_browser: Open
) -> None:
    page = ada.post(MEMBERS, MEMBERS, action="link", role="contributor")
    assert page.headers["cache-control"] == "no-store"
    link = re.search(r"/-/invite/[\w-]+", page.text)
    assert link is not None
    assert open_browser().get(link[0]).headers["location"].startswith("/login?next=/-/invite/")
    assert "Contributor" in grace.get(link[0]).text
    assert grace.post(link[0], link[0]).status_code == 303
    with rt.database.reading() as db:
        assert role_of(rt, access_user(db, OPERATOR, "grace")) == "contributor"
    assert open_browser().get(link[0]).status_code == 404


def test_there_is_always_an_admin(
    rt: Runtime, lab: None, people: dict[str, User], ada: Browser, grace: Browser
) -> None:
    for data in ({"action": "remove", "user": "ada"}, {"action": "role", "user": "ada", "role": "read"}):
        page = ada.post(MEMBERS, MEMBERS, **data)
        assert (page.status_code, "needs an admin" in page.text) == (409, True)
    ada.post(MEMBERS, MEMBERS, action="invite", user="grace", role="admin")
    invitation_id = re.findall(r'name="id" value="(\d+)"', grace.get("/settings/organizations").text)[0]
    grace.post("/settings/invitations", id=invitation_id, decision="accept")
    left = ada.post(MEMBERS, MEMBERS, action="remove", user="ada")
    assert left.headers["location"] == "/settings/organizations"
    assert (role_of(rt, people["ada"]), role_of(rt, people["grace"])) == (None, "admin")
    assert ada.get(MEMBERS).status_code == 403


def test_settings_are_kept(lab: None, ada: Browser) -> None:
    page = "/orgs/lab/settings"
    fields = {"fullname": "Our Lab", "details": "We train.", "website": "https://lab.example"}
    assert ada.post(page, page, default_visibility="public", **fields).status_code == 303
    shown = ada.get(page).text
    assert all(value in shown for value in fields.values())
    bad = ada.post(page, page, default_visibility="public", website="javascript:alert(1)")
    assert (bad.status_code, "must be an address" in bad.text) == (400, True)


@pytest.mark.parametrize("data", [{"action": "burn"}, {"action": "role", "user": "nobody"},
                                  {"action": "withdraw", "id": "x"}, {}])  # fmt: skip
def test_odd_actions_are_refused(lab: None, ada: Browser, data: dict[str, str]) -> None:
    assert ada.post(MEMBERS, MEMBERS, **data).status_code in (400, 404)
