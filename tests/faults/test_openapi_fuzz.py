"""Every route of the description, by everybody, with hostile values: never a fault of the server.

Values are drawn by a seeded generator, so each run asks the same; a failure prints the request.
"""

from __future__ import annotations

import base64
import json
import random
import re
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from faults.hostile import BODIES, FIELDS, HEADERS, QUERIES, SEGMENTS, TEXTS
from faults.rawclient import Answer, RawClient
from llmos.app.asgi import build_api

ROUNDS = 4
ALLOWED_FAULTS = {501, 503}
CALLERS = ("anonymous", "grace", "ada", "root-admin")


class Dice:
    """Draws hostile values."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)

    def value(self, depth: int = 0) -> Any:
        kind = self.random.randrange(9 if depth < 3 else 6)
        if kind < 3:
            return self.random.choice(TEXTS)
        if kind == 3:
            return self.random.choice([0, 1, -1, 2**31, 2**63, -(2**63) - 1, 2**200, 1.5, 1e308])
        if kind == 4:
            return self.random.choice([True, False, None])
        if kind == 5:
            return []
        if kind == 6:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        return {self.random.choice(FIELDS): self.value(depth + 1) for _ in range(self.random.randrange(6))}

    def body(self) -> bytes:
        if self.random.random() < 0.3:
            return self.random.choice(BODIES)
        value = {self.random.choice(FIELDS): self.value() for _ in range(self.random.randrange(9))}
        return json.dumps(value).encode()

    def cursor(self) -> str:
        count = self.random.randrange(4)
        raw = self.random.choice(
            [json.dumps([self.value() for _ in range(count)]).encode(), b"[" * 3000, b"\xff", b"[1,2", b"[]"]
        )
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    def query(self, names: list[str]) -> str:
        known = names * 3 + QUERIES
        parts = []
        for _ in range(self.random.randrange(5)):
            name = self.random.choice(known)
            value = quote(self.random.choice(TEXTS), safe="", errors="surrogatepass")
            if name == "cursor" and self.random.random() < 0.7:
                value = self.cursor()
            parts.append(f"{quote(name, safe='[]')}={value}" if self.random.random() < 0.95 else name)
        return "&".join(parts)

    def headers(self) -> dict[str, str | bytes]:
        return self.random.choice(HEADERS) if self.random.random() < 0.4 else {}


def operations() -> Iterator[tuple[str, str, list[str]]]:
    """Method, path template and query parameters of every route in the description."""
    with warnings.catch_warnings(action="ignore"):
        document = build_api().openapi()
    for path, methods in sorted(document["paths"].items()):
        for method, operation in sorted(methods.items()):
            names = [item["name"] for item in operation.get("parameters", []) if item["in"] == "query"]
            yield method.upper(), path, names


def fill(path: str, dice: Dice) -> str:
    """The template with values: often such that the route finds what it is about."""
    usual = {
        "plural": ["models", "models", "datasets", "spaces"],
        "namespace": ["ada"] * 5,
        "name": ["tiny-llm", "tiny-llm", "tiny-llm", "notes", "old-name", "words", "ada", "lab"],
        "rev": ["main"] * 3,
        "org": ["lab"],
        "user": ["ada"],
        "path": ["data", "README.md"],
    }

    def choose(match: re.Match[str]) -> str:
        known = usual.get(match[1], [])
        if known and dice.random.random() < 0.8:
            return dice.random.choice(known)
        return dice.random.choice(SEGMENTS)

    return re.sub(r"\{(\w+)\}", choose, path)


def complaint(answer: Answer, request: str) -> str | None:
    """What is wrong with the answer, if anything."""
    if answer.is_closed or (answer.status >= 500 and answer.status not in ALLOWED_FAULTS):
        return f"{answer.status} {answer.text[:300]}\n    {request}"
    if answer.status < 400 or not request.split(" ", 2)[1].startswith("/api/") or request.startswith("HEAD"):
        return None
    is_list = "text/plain" in answer.headers.get("content-type", "")
    if not is_list and not answer.json().get("error"):
        return f"{answer.status} without an error text\n    {request}"
    return None


def test_no_value_breaks_a_described_route(ask: RawClient, tokens: dict[str, str]) -> None:
    complaints = []
    for method, template, names in operations():
        dice = Dice(f"{method} {template}")
        for _ in range(ROUNDS):
            for caller in CALLERS:
                path, query, headers = fill(template, dice), dice.query(names), dice.headers()
                target = f"{path}?{query}" if query else path
                body = dice.body() if method in ("POST", "PUT", "DELETE", "PATCH") else b""
                request = f"{method} {target} {caller} {headers} {body[:300]!r}"
                answer = ask(method, target, headers=headers, body=body, token=tokens.get(caller))
                if problem := complaint(answer, request):
                    complaints.append(problem)
    assert not complaints, "\n".join(complaints)
    assert ask("GET", "/api/models/ada/new-name").status == 200, "the world has not been destroyed"
