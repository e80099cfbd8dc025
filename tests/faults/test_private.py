"""What is private does not exist for others: every page, form and call answers as for nothing at all."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import select

from faults.conftest import World
from faults.dice import ENDLESS, page_routes, plain
from faults.rawclient import Answer
from llmos.app.asgi import build_api, flat_routes
from llmos.app.tasks import periodic_tasks
from llmos.features.accounts.models import Membership, Namespace
from llmos.features.auth.page_context import VISITOR_COOKIE
from llmos.features.discussions.models import Comment, Thread
from llmos.features.repos.models import Repo
from llmos.infra.queue.outbox import deliver_due
from llmos.infra.security.csrf import issue_csrf

SECRET = "Zanzibar"
NOTHING = "nothing"
_NAMES = ("{namespace:seg}/{name:seg}", "{ns:seg}/{name:seg}")
CALLERS = ("anonymous", "grace")  # a visitor and a stranger


def talk(world: World, repo: str) -> None:
    """A discussion with an answer, named so that it is found wherever it shows."""
    body = {"title": f"{SECRET} plans", "description": f"About {SECRET}, @grace."}
    for path in ("discussions", "discussions/1/comment"):
        raw = json.dumps({**body, "comment": f"More of {SECRET}"}).encode()
        answer = world.ask("POST", f"/api/models/{repo}/{path}", body=raw, token=world.tokens["ada"])
        assert answer.status == 200, answer.text


@pytest.fixture(scope="module")
def private(world: World) -> dict[str, int]:
    """Private `ada/vault` and `lab/plans` (grace is a member there) with threads and a private
    collection of ada; the ids of what is in them."""
    with world.rt.database.writing() as db:
        by_name = select(Namespace.id).where(Namespace.name.in_(["grace", "lab"])).order_by(Namespace.name)
        grace_id, lab_id = db.scalars(by_name)
        db.add(Membership(org_id=lab_id, user_id=grace_id, role="read"))
    for name, owner in (("vault", "ada"), ("plans", "lab")):
        body = json.dumps({"name": name, "organization": owner, "private": True}).encode()
        assert world.ask("POST", "/api/repos/create", body=body, token=world.tokens["ada"]).status == 200
        talk(world, f"{owner}/{name}")
    items = json.dumps(
        {
            "title": f"{SECRET} list",
            "namespace": "ada",
            "private": True,
            "item": {"type": "model", "id": "ada/vault"},
        }
    ).encode()
    answer = world.ask("POST", "/api/collections", body=items, token=world.tokens["ada"])
    assert answer.status == 200, answer.text
    with world.rt.database.reading() as db:
        vault = db.scalars(select(Repo).where(Repo.name == "vault")).unique().one()
        thread = db.scalars(select(Thread).where(Thread.repo_id == vault.id)).unique().one()
        comment = db.scalars(select(Comment).where(Comment.thread_id == thread.id)).unique().first()
        assert comment is not None
        made = {"repo": vault.id, "thread": thread.id, "comment": comment.id}
    periodic_tasks()
    while deliver_due(world.rt.database):
        pass
    return made


def ask(world: World, method: str, path: str, who: str, *, is_page: bool = False) -> Answer:
    headers: dict[str, str | bytes] = {"origin": "http://testserver"}
    body = b""
    if is_page and who == "anonymous":
        token = issue_csrf(world.rt.signer, "visitor:abcdef")
        headers |= {"cookie": f"{VISITOR_COOKIE}=abcdef", "x-csrf-token": token}
    if is_page:
        headers |= {"accept": "text/html", "content-type": "application/x-www-form-urlencoded"}
        body = b"text=Hello&title=Hello&action=delete"
    elif method != "GET":
        body = b'{"comment": "Hello", "title": "Hello", "content": "Hello", "status": "closed"}'
    body = b"" if method == "GET" else body
    return world.ask(method, path, headers=headers, body=body, token=world.tokens.get(who))


def repo_routes() -> Iterator[tuple[str, str, bool]]:
    """Method, address and whether it is a page, of everything below a repository's name."""
    for page in page_routes():
        if page.path.startswith("/{ns:seg}/{name:seg}"):
            yield page.method, page.path, True
    for route in flat_routes(build_api()):
        is_call = isinstance(route, APIRoute) and route.path.startswith("/api/{plural")
        if is_call and _NAMES[0] in route.path and route.path not in ENDLESS:
            yield from ((method, route.path, False) for method in sorted(route.methods - {"HEAD"}))


@pytest.mark.parametrize("who", CALLERS)
def test_nothing_tells_a_private_repository_from_none(
    world: World, private: dict[str, int], who: str
) -> None:
    """The same status and the same words, whatever is asked of it."""
    usual = {**world.usual, "plural": ["models"], "namespace": ["ada"], "ns": ["ada"], "status": ["pending"]}
    told, count = [], 0
    for method, template, is_page in repo_routes():
        there, missing = (
            ask(world, method, plain(template, {**usual, "name": [name]}), who, is_page=is_page)
            for name in ("vault", NOTHING)
        )
        count += 1
        is_refused = there.status >= 400 or "/login" in there.headers.get("location", "")
        if not is_refused or there.status != missing.status:
            told.append(f"{there.status} or {missing.status}: {method} {template}")
        elif words(there, "vault") != words(missing, NOTHING) or SECRET in there.text:
            told.append(f"{there.status} in other words: {method} {template}")
    assert not told, "\n".join(told)
    assert count > 100, "the routes are found"


def words(answer: Answer, name: str) -> str:
    """What an answer says, without what differs from one to the next; only errors are compared."""
    if "text/html" not in answer.headers.get("content-type", ""):
        return answer.text.replace(name, "")
    start = answer.text.find("<main")
    text = answer.text[start:].replace(name, "")
    return text.replace(answer.headers.get("x-request-id", "-"), "")[:3000]


SEARCHES = (
    "/search?q=plans",
    "/search?q=plans&tab=threads",
    "/search?q=list&tab=collections",
    "/search/suggest?q=plans",
    "/api/collections?q=list",
    "/api/collections?owner=ada",
    "/api/collections?item=models/ada/vault",
    "/api/models?author=ada&search=vault",
    "/-/feeds/people/ada/news.atom",
    "/-/feeds/model/ada/tiny-llm/news.atom",
    "/-/feeds/model/ada/vault/news.atom",
    "/-/feeds/people/lab/news.atom",
    "/ada",
    "/ada/-/threads",
    "/lab",
)


@pytest.mark.parametrize("who", CALLERS)
def test_private_words_show_on_no_page(world: World, private: dict[str, int], who: str) -> None:
    """Every page, list, feed and search, also those that are not about the repository."""
    shown = []
    paths = [plain(route.path, world.usual) for route in page_routes() if route.method == "GET"]
    for path in [*paths, *SEARCHES]:
        answer = ask(world, "GET", path, who, is_page=not path.startswith("/api/"))
        text = answer.text
        is_about_lab = who == "grace" and "lab/plans" in text  # a member of that organisation
        if ("ada/vault" in text or f"{SECRET} list" in text or (SECRET in text and not is_about_lab)) and (
            answer.status < 400
        ):
            found = text.find(SECRET) if SECRET in text else text.find("ada/vault")
            shown.append(f"{path}: {text[max(0, found - 80) : found + 40]!r}")
    assert not shown, "\n".join(shown)


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize(
    ("method", "template"),
    [
        ("GET", "/-/watch/repo/{repo}"),
        ("POST", "/-/watch/repo/{repo}"),
        ("GET", "/-/watch/thread/{thread}"),
        ("POST", "/-/watch/thread/{thread}"),
        ("GET", "/forum/{thread}/x"),
        ("GET", "/-/report?kind=comment&key={comment}"),
        ("GET", "/-/report?kind=thread&key={thread}"),
        ("GET", "/-/report?kind=repo&key={repo}"),
        ("GET", "/collections/add?type=model&id=ada/{name}"),
    ],
)
def test_ids_of_private_things_are_no_key(
    world: World, private: dict[str, int], who: str, method: str, template: str
) -> None:
    there = ask(world, method, template.format(**private, name="vault"), who, is_page=True)
    none = {"repo": 987654, "thread": 987654, "comment": 987654}
    missing = ask(world, method, template.format(**none, name=NOTHING), who, is_page=True)
    assert there.status == missing.status
    assert SECRET not in there.text
    assert "ada/vault" not in there.text.replace("id=ada/vault", "").replace('value="ada/vault"', "")


def test_members_read_what_strangers_do_not(world: World, private: dict[str, int]) -> None:
    for path in ("/lab/plans/discussions", "/lab/plans/discussions/1", "/api/models/lab/plans/discussions/1"):
        assert SECRET in ask(world, "GET", path, "grace", is_page=not path.startswith("/api")).text
        assert ask(world, "GET", path, "anonymous").status in (401, 404)
    # Named in a repository that she cannot see, grace hears nothing of it; in the other she does.
    inbox = ask(world, "GET", "/notifications?show=all", "grace", is_page=True).text
    assert "lab/plans" in inbox
    assert "ada/vault" not in inbox
