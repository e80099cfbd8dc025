"""Every route of the description, by everybody, with hostile values: never a fault of the server.

Values are drawn by a seeded generator, so each run asks the same; a failure prints the request.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from faults.conftest import World
from faults.dice import ENDLESS, Dice, page_routes
from faults.rawclient import Answer
from llmos.app.asgi import build_api

ROUNDS = 2
ALLOWED_FAULTS = {501, 503}
FORM: dict[str, str | bytes] = {
    "content-type": "application/x-www-form-urlencoded",
    "origin": "http://testserver",
}
_ENDLESS = {path.replace(":seg", "") for path in ENDLESS}
CALLERS = ("anonymous", "grace", "ada", "root-admin")


def operations() -> Iterator[tuple[str, str, list[str]]]:
    """Method, path template and query parameters of every route in the description."""
    with warnings.catch_warnings(action="ignore"):
        document = build_api().openapi()
    for path, methods in sorted(document["paths"].items()):
        for method, operation in sorted(methods.items()):
            if path in _ENDLESS:
                continue
            names = [item["name"] for item in operation.get("parameters", []) if item["in"] == "query"]
            yield method.upper(), path, names


def complaint(answer: Answer, request: str) -> str | None:
    """What is wrong with the answer, if anything."""
    if answer.is_closed or (answer.status >= 500 and answer.status not in ALLOWED_FAULTS):
        return f"{answer.status} {answer.text[:300]}\n    {request}"
    if any(ord(char) < 32 or ord(char) == 127 for value in answer.headers.values() for char in value):
        return f"{answer.status} with a header that no server sends: {answer.headers}\n    {request}"
    if answer.status < 400 or not request.split(" ", 2)[1].startswith("/api/") or request.startswith("HEAD"):
        return None
    is_list = "text/plain" in answer.headers.get("content-type", "")
    if not is_list and not answer.json().get("error"):
        return f"{answer.status} without an error text\n    {request}"
    return None


def test_no_value_breaks_a_described_route(world: World) -> None:
    complaints = []
    for method, template, names in operations():
        dice = Dice(f"{method} {template}")
        for _ in range(ROUNDS):
            for caller in CALLERS:
                path, query, headers = dice.fill(template, world.usual), dice.query(names), dice.headers()
                target = f"{path}?{query}" if query else path
                body = dice.body() if method in ("POST", "PUT", "DELETE", "PATCH") else b""
                request = f"{method} {target} {caller} {headers} {body[:300]!r}"
                answer = world.ask(method, target, headers=headers, body=body, token=world.tokens.get(caller))
                if problem := complaint(answer, request):
                    complaints.append(problem)
    assert not complaints, "\n".join(complaints)
    assert world.ask("GET", "/api/models/ada/new-name").status == 200, "the world has not been destroyed"


def test_no_value_breaks_a_page(world: World) -> None:
    complaints = []
    for route in page_routes():
        dice = Dice(f"{route.method} {route.path}")
        for caller in dice.random.sample(["anonymous", "ada", "root-admin"], 2):
            path, query = dice.fill(route.path, world.usual), dice.query(route.queries)
            target = f"{path}?{query}" if query else path
            headers: dict[str, str | bytes] = {"accept": "text/html", **dice.headers()}
            body = b""
            if route.method != "GET":
                body = dice.form(route.fields)
                headers = {**FORM, **headers}
            request = f"{route.method} {target} {caller} {headers} {body[:300]!r}"
            answer = world.ask(
                route.method, target, headers=headers, body=body, token=world.tokens.get(caller)
            )
            if problem := complaint(answer, request):
                complaints.append(problem)
    assert not complaints, "\n".join(complaints)
