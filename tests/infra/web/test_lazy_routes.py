"""A route that is built late answers as one that was built at once."""

from __future__ import annotations

from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.routing import Match, compile_path
from starlette.testclient import TestClient

from llmos.infra.web import routing
from llmos.infra.web.lazy_routes import LazyRoute, Router

TEMPLATES = [
    "/",
    "/a",
    "/{ns:seg}",
    "/{ns:seg}/{name:seg}",
    "/a/{ns:seg}/a/{rev:rev}/{path:rest}",
    "/{x:seg}/a",
]
PIECES = st.lists(st.sampled_from(["a", "b", "/", "//", "refs/pr/1", "%2F", "/a/"]), max_size=8)


def answer() -> PlainTextResponse:
    return PlainTextResponse("here")


@given(st.sampled_from(TEMPLATES), PIECES)
def test_nothing_is_overlooked(template: str, pieces: list[str]) -> None:
    path = "/" + "".join(pieces)
    scope = {"type": "http", "path": path, "method": "GET"}
    match, _ = LazyRoute(template, answer, methods=["GET"]).matches(scope)
    assert (match is Match.FULL) == bool(compile_path(template)[0].match(path))


def test_a_route_is_built_when_it_is_meant() -> None:
    router = Router()
    router.add_api_route("/a/{x:seg}", answer, methods=["GET"])
    router.add_api_route("/b/{x:seg}", answer, methods=["GET", "POST"])
    first, second = router.routes
    app = FastAPI()
    routing.add_router(app, router)
    client = TestClient(app)
    assert client.get("/b/1").text == "here"
    assert client.delete("/b/1").status_code == 405
    assert "dependant" in vars(second)
    assert "dependant" not in vars(first)
    assert isinstance(first, LazyRoute)
    assert first.methods == {"GET"}
    assert "dependant" in vars(first)
