"""Profiles, pictures, following, and what administrators may do to people."""

from __future__ import annotations

import struct
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from sqlalchemy import select

from kit.browser import ORIGIN, Browser
from llmos.core.errors import BadRequest, Conflict, Forbidden, NotFound, Unauthenticated
from llmos.features.accounts import queries, service
from llmos.features.accounts.actor import ANONYMOUS, OPERATOR
from llmos.features.accounts.avatars import draw_avatar
from llmos.features.accounts.models import AuditEvent, User
from llmos.features.auth.credentials import actor_for_user
from llmos.infra.runtime import Runtime

Open = Callable[[], Browser]
PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + bytes(17)
USERS = "/-/admin/users"


def test_names_differ_in_more_than_case(rt: Runtime, people: dict[str, User]) -> None:
    with rt.database.writing() as db, pytest.raises(Conflict):
        service.create_user(db, OPERATOR, name="ADA")


def test_drawn_pictures_are_the_same_for_a_name_and_valid(browser: Browser) -> None:
    assert draw_avatar("Ada") == draw_avatar("ada") != draw_avatar("grace")
    ElementTree.fromstring(draw_avatar("ada"))
    answer = browser.get("/avatars/whoever.svg")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in answer.headers["content-security-policy"]
    for path in ("/avatars/ada", "/avatars/ada.png", "/avatars/.svg", "/avatars/" + "x" * 200 + ".svg"):
        assert browser.get(path).status_code == 404


def upload(browser: Browser, data: bytes) -> int:
    token = browser.token("/settings/profile")
    answer = browser.client.post(
        "/settings/avatar",
        data={"csrf_token": token},
        files={"avatar": ("me.png", data, "image/png")},
        headers={"origin": ORIGIN},
    )
    return answer.status_code


def test_an_uploaded_picture_is_shown_and_removed(rt: Runtime, ada: Browser, people: dict[str, User]) -> None:
    assert upload(ada, PNG) == 303
    with rt.database.reading() as db:
        url = queries.profile(db, ANONYMOUS, "ada").avatar_url
    assert url.startswith("/avatars/ada.png?v=")
    shown = ada.get(url)
    assert (shown.content, shown.headers["content-type"]) == (PNG, "image/png")
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert ada.post("/settings/avatar", remove="1").status_code == 303
    assert ada.get(url).status_code == 404
    assert list(rt.objects.list("avatars/")) == []


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"<svg onload=alert(1)>", 400), (b"GIF89a", 400), (PNG + bytes(2 * 1024 * 1024), 413)],
)
def test_other_files_are_no_pictures(ada: Browser, data: bytes, status: int) -> None:
    assert upload(ada, data) == status


def test_far_too_large_uploads_are_cut_off(ada: Browser) -> None:
    assert upload(ada, PNG + bytes(4 * 1024 * 1024)) == 413


def test_the_profile_says_who_and_with_whom(rt: Runtime, people: dict[str, User], ada: Browser) -> None:
    ada.post("/settings/profile", fullname="Ada L", details="Engines", website="https://ada.example")
    ada.post("/organizations/new", name="lab", default_visibility="public")
    with rt.database.writing() as db:
        ada_actor = actor_for_user(db, db.get_one(User, people["ada"].id))
        grace = actor_for_user(db, db.get_one(User, people["grace"].id))
        namespace = db.get_one(User, people["ada"].id).namespace
        service.follow(db, grace, namespace)
        service.follow(db, grace, namespace)
        shown = queries.profile(db, grace, "ADA")
        assert (shown.name, shown.fullname, shown.details) == ("ada", "Ada L", "Engines")
        assert (shown.followers_count, shown.is_following, shown.can_edit) == (1, True, False)
        assert [card.name for card in shown.organizations] == ["lab"]
        assert queries.profile(db, ada_actor, "ada").settings_href == "/settings/profile"
        lab = queries.profile(db, ada_actor, "lab")
        assert ([card.role for card in lab.members], lab.members_count) == (["admin"], 1)
        service.unfollow(db, grace, namespace)
        assert queries.profile(db, grace, "ada").followers_count == 0
        with pytest.raises(BadRequest):
            service.follow(db, ada_actor, namespace)
        with pytest.raises(Unauthenticated):
            service.follow(db, ANONYMOUS, namespace)


def test_following_from_a_page(rt: Runtime, ada: Browser, people: dict[str, User]) -> None:
    answer = ada.post("/-/follow", name="grace", action="follow", next="//evil.example")
    assert answer.headers["location"] == "/grace"
    with rt.database.reading() as db:
        followers = queries.list_followers(db, db.get_one(User, people["grace"].id).namespace).items
    assert [card.name for card in followers] == ["ada"]


def test_disabled_people_are_out_of_sight(rt: Runtime, people: dict[str, User], ada: Browser) -> None:
    with rt.database.writing() as db:
        service.disable_user(db, OPERATOR, db.get_one(User, people["ada"].id))
    assert ada.get("/settings/profile").status_code == 303
    with rt.database.reading() as db:
        with pytest.raises(NotFound):
            queries.profile(db, ANONYMOUS, "ada")
        assert queries.profile(db, OPERATOR, "ada").name == "ada"


def test_the_last_administrator_stays(rt: Runtime, people: dict[str, User]) -> None:
    with rt.database.writing() as db:
        root = db.get_one(User, people["root-admin"].id)
        with pytest.raises(Conflict, match="last administrator"):
            service.disable_user(db, OPERATOR, root)
        with pytest.raises(Conflict, match="last administrator"):
            service.change_admin(db, OPERATOR, root, is_admin=False)
        service.change_admin(db, OPERATOR, db.get_one(User, people["ada"].id), is_admin=True)
        service.change_admin(db, OPERATOR, root, is_admin=False)


def test_only_administrators_change_others(rt: Runtime, people: dict[str, User]) -> None:
    with rt.database.writing() as db:
        grace = db.get_one(User, people["grace"].id)
        ada = actor_for_user(db, db.get_one(User, people["ada"].id))
        with pytest.raises(Forbidden):
            service.disable_user(db, ada, grace)
        with pytest.raises(Forbidden):
            service.change_profile(db, ada, grace.namespace, fullname="x", details="", website="")
        with pytest.raises(Forbidden):
            service.change_quota(db, ada, grace.namespace, 1)
        with pytest.raises(Unauthenticated):
            service.disable_user(db, ANONYMOUS, grace)


def test_administration_acts_on_people(rt: Runtime, people: dict[str, User], open_browser: Open) -> None:
    admin = open_browser()
    admin.sign_in("root-admin")
    for data in (
        {"action": "quota", "name": "ada", "quota": "1.5"},
        {"action": "disable", "name": "ada"},
        {"action": "admin", "name": "grace"},
    ):
        assert admin.post(USERS, USERS, **data).status_code == 303
    with rt.database.reading() as db:
        ada, grace = (db.get_one(User, people[name].id) for name in ("ada", "grace"))
        assert (ada.namespace.quota_bytes, ada.disabled_at is not None) == (1_500_000_000, True)
        assert grace.is_admin
    assert "Disabled" in admin.get(f"{USERS}?q=ad").text
    assert ">grace<" not in admin.get(f"{USERS}?q=ada").text
    assert admin.post(USERS, USERS, action="enable", name="ada").status_code == 303
    assert "/-/invite/" in admin.post(USERS, USERS, action="invite").text
    for data in ({"action": "burn", "name": "ada"}, {"action": "quota", "name": "ada", "quota": "much"}):
        assert admin.post(USERS, USERS, **data).status_code == 400
    trail = admin.get("/-/admin/audit").text
    assert "user.disable" in trail
    with rt.database.reading() as db:
        actors = db.scalars(select(AuditEvent.actor_name).where(AuditEvent.action == "user.disable")).all()
    assert actors == ["root-admin"]


def test_members_cannot_administrate(ada: Browser) -> None:
    for action in ("disable", "reset_link", "admin", "quota", "invite"):
        assert ada.post(USERS, action=action, name="grace").status_code == 403


def test_lists_of_people_are_paged(rt: Runtime, people: dict[str, User]) -> None:
    with rt.database.reading() as db:
        first = queries.list_users(db, limit=2)
        assert [user.name for user in first.items] == ["root-admin", "ada"]
        second = queries.list_users(db, limit=2, cursor=first.next_cursor)
        assert ([user.name for user in second.items], second.next_cursor) == (["grace"], None)
        for cursor in ("x", "WyJhIl0", "W10", "bnVsbA"):
            with pytest.raises(BadRequest):
                queries.list_users(db, cursor=cursor)
        assert queries.list_users(db, query="%").items == []
