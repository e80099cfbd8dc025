"""Access tokens: made on the page, shown once, as narrow as asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from kit.browser import Browser
from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, Forbidden, Unauthenticated
from llmos.features.accounts.actor import OPERATOR, Actor
from llmos.features.accounts.models import User
from llmos.features.auth.credentials import actor_for_token, actor_for_user
from llmos.features.auth.models import AccessToken
from llmos.features.auth.tokens import create_token, list_tokens
from llmos.infra.runtime import Runtime

PAGE = "/settings/tokens"


def make(rt: Runtime, user: User, **values: Any) -> str:
    with rt.database.writing() as db:
        chosen = {"name": "ci", "role": "write", **values}
        return create_token(db, OPERATOR, db.get_one(User, user.id), **chosen)[1]


def test_a_token_is_shown_once_and_works(ada: Browser) -> None:
    page = ada.post(PAGE, PAGE, name="laptop", role="write", expires="30")
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    value = re.search(r"hf_[A-Za-z0-9]{37}", page.text)
    assert value is not None
    assert value[0] not in ada.get(PAGE).text
    headers = {"authorization": f"Bearer {value[0]}"}
    assert ada.client.get("/api/whoami-v2", headers=headers).json()["name"] == "ada"
    listed = ada.get(PAGE).text
    assert f"hf_…{value[0][-4:]}" in listed
    token_id = re.search(r'name="id" value="([0-9a-f]{24})"', listed)
    assert token_id is not None
    assert ada.post(f"{PAGE}/revoke", PAGE, id=token_id[1]).status_code == 303
    refused = ada.client.get("/api/whoami-v2", headers=headers)
    assert (refused.status_code, refused.headers["x-error-message"]) == (
        401,
        "Invalid credentials in Authorization header",
    )


def test_the_page_says_when_a_token_was_used(rt: Runtime, people: dict[str, User], ada: Browser) -> None:
    value = make(rt, people["ada"])
    unused = ada.get(PAGE).text.count(">Never<")
    assert ada.client.get("/api/whoami-v2", headers={"authorization": f"Bearer {value}"}).status_code == 200
    assert ada.get(PAGE).text.count(">Never<") == unused - 1
    with rt.database.reading() as db:
        (token,) = list_tokens(db, people["ada"])
        assert token.last_used_at is not None
        assert clock.now() - token.last_used_at < timedelta(minutes=1)


def test_nobody_revokes_the_token_of_another(
    rt: Runtime, ada: Browser, people: dict[str, User], open_browser: Callable[[], Browser]
) -> None:
    make(rt, people["ada"])
    with rt.database.reading() as db:
        token_id = list_tokens(db, people["ada"])[0].object_id
    grace = open_browser()
    grace.sign_in("grace")
    assert grace.post(f"{PAGE}/revoke", PAGE, id=token_id).status_code == 404


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "Give the token a name"),
        ({"role": "root"}, "The role must be one of"),
        ({"role": "fineGrained"}, "needs from 1 to"),
        ({"role": "fineGrained", "target": "ada"}, "Each scope names"),
        ({"role": "fineGrained", "target": "nobody", "verbs": "repo.read"}, "nobody called"),
        ({"role": "fineGrained", "repos": "a/b", "verbs": "repo.read"}, "nobody called"),
        ({"role": "fineGrained", "repos": "shed:ada/x", "verbs": "repo.read"}, "is neither"),
        ({"role": "fineGrained", "target": "ada", "verbs": "repo.burn"}, "Each scope names"),
        ({"expires": "soon"}, "as a number"),
        ({"expires": "99999"}, "lasts from 1"),
    ],
)
def test_the_form_says_what_to_mend(ada: Browser, fields: dict[str, str], message: str) -> None:
    page = ada.post(PAGE, PAGE, **{"name": "x", "role": "read", "expires": "", **fields})
    assert page.status_code == 400
    assert message in page.text


def test_fine_grained_scopes_from_the_form(rt: Runtime, ada: Browser, people: dict[str, User]) -> None:
    verbs = ["repo.write", "inference"]
    ada.post(PAGE, PAGE, name="x", role="fineGrained", target="ada", repos="model:Ada/Tiny", verbs=verbs)
    with rt.database.reading() as db:
        (token,) = list_tokens(db, people["ada"])
    expected = ["repo.read", "repo.write", "inference"]
    assert token.scopes == [
        {"target": "ada", "verbs": expected},
        {"target": "model:ada/tiny", "verbs": expected},
    ]


def test_values_are_hashed_and_expire(rt: Runtime, people: dict[str, User]) -> None:
    value = make(rt, people["ada"], expires_in_days=1)
    with rt.database.writing() as db:
        row = list_tokens(db, people["ada"])[0]
        assert value not in (row.token_hash, row.token_hint)
        assert actor_for_token(db, value).name == "ada"
        row.expires_at = clock.now() - timedelta(seconds=1)
        db.flush()
        with pytest.raises(Unauthenticated):
            actor_for_token(db, value)


def test_names_and_imported_values_are_unique(rt: Runtime, people: dict[str, User]) -> None:
    value = "hf_" + "a" * 34
    assert make(rt, people["ada"], value=value) == value
    with pytest.raises(Conflict, match="named ci"):
        make(rt, people["ada"])
    with pytest.raises(Conflict, match="in use"):
        make(rt, people["grace"], value=value)
    for bad in ("hf_short", "api_org_" + "a" * 34, value + "!", value + "\n"):
        with pytest.raises(BadRequest, match="hf_"):
            make(rt, people["grace"], value=bad)


def test_only_the_owner_or_an_administrator_makes_tokens(rt: Runtime, people: dict[str, User]) -> None:
    with rt.database.writing() as db:
        ada, grace = (db.get_one(User, people[name].id) for name in ("ada", "grace"))
        asking = actor_for_user(db, grace)
        with pytest.raises(Forbidden):
            create_token(db, asking, ada, name="x", role="read")
        with pytest.raises(Unauthenticated):
            create_token(db, Actor(), ada, name="x", role="read")
        reader = actor_for_user(db, ada, token_role="read")
        with pytest.raises(Forbidden):
            create_token(db, reader, ada, name="x", role="write")


def test_an_administrators_narrow_token_has_no_admin_rights(rt: Runtime, people: dict[str, User]) -> None:
    root = people["root-admin"]
    narrow, full = make(rt, root, role="read"), make(rt, root, name="full")
    with rt.database.reading() as db:
        assert not actor_for_token(db, narrow).is_admin
        assert actor_for_token(db, full).is_admin


def test_a_disabled_owner_closes_the_token(rt: Runtime, people: dict[str, User]) -> None:
    value = make(rt, people["ada"])
    with rt.database.writing() as db:
        db.get_one(User, people["ada"].id).disabled_at = clock.now()
    with rt.database.reading() as db, pytest.raises(Unauthenticated):
        actor_for_token(db, value)
    with rt.database.reading() as db:
        assert db.query(AccessToken).count() == 1
