"""What other sites may make a browser do here: send no form, and show no page in a frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import func, select

from faults.conftest import World
from faults.dice import page_routes, plain
from faults.rawclient import Answer
from llmos.app.asgi import build_api, flat_routes
from llmos.features.accounts.actor import ANONYMOUS
from llmos.features.accounts.models import Namespace, User
from llmos.features.auth.edge import SESSION_COOKIE
from llmos.features.auth.models import BrowserSession
from llmos.features.auth.page_context import VISITOR_COOKIE
from llmos.features.auth.sessions import create_session
from llmos.infra.db.base import Base
from llmos.infra.security.csrf import issue_csrf
from llmos.infra.security.secrets import hash_secret

OWN = "http://testserver"
FOREIGN = "http://evil.example"
# The signed address in a mail is itself the proof: mail programs send no form token.
WITHOUT_TOKEN = {"/-/unsubscribe/{token:seg}"}
# Shown in a frame of our own pages, and of no other's.
FRAMED = {"/-/diagram"}
# These read files as they arrive, so they take no other kind of form.
UPLOADS = ("/upload", "/upload/main")
FILE_PART = '--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\none\r\n--x--\r\n'
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def signed_in(world: World) -> tuple[str, str]:
    """The session cookie of the administrator, and a form token that goes with it."""
    with world.rt.database.writing() as db:
        user = db.scalars(select(User).join(Namespace).where(Namespace.name == "root-admin")).unique().one()
        secret = create_session(db, world.rt, ANONYMOUS, user)
        found = select(BrowserSession.id).where(BrowserSession.secret_hash == hash_secret(secret))
        session_id = db.scalars(found).one()
    return f"{SESSION_COOKIE}={secret}", issue_csrf(world.rt.signer, f"session:{session_id}")


def row_counts(world: World) -> dict[str, int]:
    with world.rt.database.reading() as db:
        return {
            table.name: db.scalar(select(func.count()).select_from(table)) or 0
            for table in Base.metadata.sorted_tables
        }


def post(world: World, path: str, cookie: str, token: str = "", **headers: str) -> Answer:
    fields: dict[str, Any] = {
        "content-type": "application/x-www-form-urlencoded",
        "accept": "text/html",
        "cookie": cookie,
        **{key.replace("_", "-"): value for key, value in headers.items()},
    }
    body = f"csrf_token={token}"
    if path.endswith(UPLOADS):
        fields["content-type"] = "multipart/form-data; boundary=x"
        body = f'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n{token}\r\n' + FILE_PART
    return world.ask("POST", path, headers=fields, body=body.encode())


def is_refused(answer: Answer) -> bool:
    """Or sent to sign in first, before any of the form was read."""
    return answer.status == 403 or answer.headers.get("location", "").startswith("/login?")


def forms() -> Iterator[str]:
    for route in page_routes():
        is_form = route.path not in WITHOUT_TOKEN and not route.path.startswith("/api/")
        if route.method == "POST" and is_form:
            yield route.path


def test_no_form_is_taken_from_elsewhere(world: World, signed_in: tuple[str, str]) -> None:
    """Every form: without its token, with another's, and from another site with the right token."""
    cookie, token = signed_in
    before = row_counts(world)
    visitor = f"{VISITOR_COOKIE}=abcdef"
    others = issue_csrf(world.rt.signer, "visitor:somebody-else")
    taken = []
    paths = list(forms())
    assert len(paths) > 80, "the forms are found"
    for path in paths:
        url = plain(path, world.usual)
        answers = {
            "no token": post(world, url, cookie, origin=OWN),
            "a visitor's token": post(world, url, cookie, others, origin=OWN),
            "a visitor without token": post(world, url, visitor, origin=OWN),
            "no origin": post(world, url, cookie, token),
            "a foreign origin": post(world, url, cookie, token, origin=FOREIGN),
        }
        taken += [f"{answer.status} {url} {why}" for why, answer in answers.items() if not is_refused(answer)]
    assert not taken, "\n".join(taken)
    assert row_counts(world) == before
    for origin in ("null", "http://testserver.evil.example", "https://ada:@evil.example", "http://"):
        assert post(world, "/-/preview", cookie, token, origin=origin).status == 403, origin
    assert post(world, "/-/preview", cookie, token, sec_fetch_site="cross-site").status == 403
    # The same token from our own page is taken, so it is for the origin that they were refused.
    assert post(world, "/-/preview", cookie, token, origin=OWN).status == 200


def test_no_api_call_rides_on_a_cookie_from_elsewhere(world: World, signed_in: tuple[str, str]) -> None:
    cookie, token = signed_in
    before = row_counts(world)
    taken = []
    for route in flat_routes(build_api()):
        is_call = isinstance(route, APIRoute) and (
            route.endpoint.__module__.startswith("llmos.protocols") or route.path.startswith("/api/")
        )
        # What runners call takes their own tokens only, never a cookie.
        if not is_call or route.path.startswith("/api/runners/"):
            continue
        assert isinstance(route, APIRoute)
        for method in sorted(route.methods & set(UNSAFE)):
            url = plain(route.path, world.usual)
            headers: dict[str, str | bytes] = {
                "cookie": cookie,
                "origin": FOREIGN,
                "content-type": "text/plain",
                "x-csrf-token": token,
            }
            answer = world.ask(method, url, headers=headers, body=b"{}")
            if answer.status < 400 and "telemetry" not in url:
                taken.append(f"{answer.status} {method} {url} {answer.text[:100]}")
    assert not taken, "\n".join(taken)
    assert row_counts(world) == before


def test_no_page_can_be_framed(world: World, signed_in: tuple[str, str]) -> None:
    """Also pages of errors: a click in a hidden frame must reach nothing."""
    cookie, _ = signed_in
    bare, seen = [], 0
    for route in page_routes():
        if route.method != "GET":
            continue
        url = plain(route.path, world.usual)
        for who in ("", cookie):
            answer = world.ask("GET", url, headers={"accept": "text/html", "cookie": who})
            if "text/html" not in answer.headers.get("content-type", ""):
                continue
            seen += answer.status == 200
            ancestors = "'self'" if route.path in FRAMED else "'none'"
            policy = answer.headers.get("content-security-policy", "")
            is_denied = answer.headers.get("x-frame-options") == "DENY" or route.path in FRAMED
            if f"frame-ancestors {ancestors}" not in policy or not is_denied:
                bare.append(f"{answer.status} {url}")
    assert not bare, "\n".join(bare)
    assert seen > 80, "the pages are found"
