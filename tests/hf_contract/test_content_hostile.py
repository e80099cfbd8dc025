"""Whatever is sent to the content routes, the answer is a refusal and never a 500."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from llmos.features.auth.credentials import actor_for_token
from llmos.features.repos.lifecycle import create_repo
from llmos.infra.runtime import Runtime

Post = Callable[[bytes], Any]

COMMON = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def tiny(rt: Runtime, tokens: dict[str, str]) -> str:
    with rt.database.reading() as db:
        actor = actor_for_token(db, tokens["ada"])
    with rt.database.writing() as db:
        create_repo(db, actor, rt, name="tiny-llm")
    return "ada/tiny-llm"


@pytest.fixture
def commit(app_client: TestClient, tokens: dict[str, str], tiny: str) -> Post:
    headers = {"Authorization": f"Bearer {tokens['ada']}"}

    def post(body: bytes) -> Any:
        return app_client.post(f"/api/models/{tiny}/commit/main", content=body, headers=headers)

    return post


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=30),
    st.just("sha256"),
)
PATHS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["a", "a/b", "a/b/c", ".gitattributes", "README.md", "..", "/", "a//b", ".git/x", "A", "a/"]
    ),
)
VALUES = st.one_of(
    SCALARS,
    st.fixed_dictionaries(
        {},
        optional={
            "path": st.one_of(PATHS, SCALARS),
            "oldPath": st.one_of(PATHS, SCALARS),
            "content": st.one_of(
                SCALARS, st.binary(max_size=50).map(lambda data: base64.b64encode(data).decode())
            ),
            "encoding": st.sampled_from(["base64", "utf-8", "latin-1", 7]),
            "algo": st.sampled_from(["sha256", "md5", None]),
            "oid": st.one_of(SCALARS, st.just("0" * 64)),
            "size": st.one_of(SCALARS, st.just(-1), st.just(2**70)),
            "summary": st.one_of(SCALARS, st.just("x")),
            "description": SCALARS,
            "parentCommit": st.one_of(SCALARS, st.just("abcde")),
        },
    ),
)
LINES = st.one_of(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(
                ["header", "file", "lfsFile", "deletedFile", "deletedFolder", "other", None]
            ),
            "value": VALUES,
        }
    ).map(lambda item: json.dumps(item).encode()),
    st.binary(max_size=60),
)
HEADER = json.dumps({"key": "header", "value": {"summary": "x", "description": ""}}).encode()


@COMMON
@given(lines=st.lists(LINES, max_size=6), with_header=st.booleans(), newline=st.booleans())
def test_commits_are_taken_or_refused(
    commit: Post, lines: list[bytes], with_header: bool, newline: bool
) -> None:
    body = b"\n".join(([HEADER] if with_header else []) + lines) + (b"\n" if newline else b"")
    answer = commit(body)
    assert answer.status_code in (200, 400, 404, 409, 412, 413, 422), answer.text
    if answer.status_code == 200:
        assert len(answer.json()["commitOid"]) == 40
    else:
        assert answer.json()["error"]


def test_deep_json_is_refused(commit: Post) -> None:
    assert commit(HEADER + b"\n" + b"[" * 100_000).status_code == 400


@COMMON
@given(
    rev=st.one_of(
        st.text(min_size=1, max_size=30), st.sampled_from(["main", "HEAD~1", "main^{}", "@{0}", "refs/x"])
    ),
    path=st.text(min_size=1, max_size=30),
    verb=st.sampled_from(["resolve", "raw"]),
    asked=st.one_of(st.none(), st.text(alphabet="bytes=0123456789-, ", max_size=20)),
)
def test_any_address_is_answered(
    app_client: TestClient, tiny: str, rev: str, path: str, verb: str, asked: str | None
) -> None:
    from urllib.parse import quote

    url = f"/{tiny}/{verb}/{quote(rev, safe='', errors='replace')}/{quote(path, safe='', errors='replace')}"
    answer = app_client.get(url, headers={"Range": asked} if asked else {})
    assert answer.status_code in (200, 206, 404, 416), answer.text


@COMMON
@given(
    route=st.sampled_from(["tree", "commits", "compare", "refs"]),
    rest=st.text(min_size=1, max_size=30),
    query=st.dictionaries(
        st.sampled_from(["recursive", "expand", "cursor", "limit", "p", "path", "raw"]), st.text(max_size=12)
    ),
)
def test_any_query_is_answered(
    app_client: TestClient, tiny: str, route: str, rest: str, query: dict[str, str]
) -> None:
    from urllib.parse import quote

    tail = "" if route == "refs" else f"/{quote(rest, safe='', errors='replace')}"
    for place in (tail, "/main" if tail else ""):
        answer = app_client.get(f"/api/models/{tiny}/{route}{place}", params=query)
        assert answer.status_code in (200, 400, 404), answer.text


@COMMON
@given(
    name=st.text(min_size=1, max_size=40),
    body=st.one_of(SCALARS, st.dictionaries(st.sampled_from(["startingPoint", "tag", "message"]), SCALARS)),
    route=st.sampled_from(["branch", "tag", "super-squash", "preupload", "paths-info"]),
    method=st.sampled_from(["POST", "DELETE"]),
)
def test_any_ref_name_is_answered(
    app_client: TestClient, tokens: dict[str, str], tiny: str, name: str, body: Any, route: str, method: str
) -> None:
    from urllib.parse import quote

    answer = app_client.request(
        method,
        f"/api/models/{tiny}/{route}/{quote(name, safe='', errors='replace')}",
        content=json.dumps(body).encode("utf-8", "replace"),  # NaN too, as a careless client sends it
        headers={"Authorization": f"Bearer {tokens['ada']}", "Content-Type": "application/json"},
    )
    assert answer.status_code in (200, 400, 403, 404, 405, 409, 422), answer.text
