"""Hostile values, drawn by a seeded generator, and the routes they are thrown at."""

from __future__ import annotations

import base64
import inspect
import json
import random
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi.routing import APIRoute

from faults.hostile import BODIES, FIELDS, HEADERS, QUERIES, SEGMENTS, TEXTS
from llmos.app.asgi import build_api, flat_routes

# Answers without an end: other tests listen to them.
ENDLESS = ("/notifications/live", "/api/buckets/{namespace:seg}/{name:seg}/events")
_FORM_FIELD = re.compile(r'form\.(?:text|texts|has|file)\(\s*"(\w+)"')
_QUERY = re.compile(r'query_params(?:\.get\(|\.getlist\(|\[)"(\w+)"|row_number\(request, "(\w+)"')
_PLACEHOLDER = re.compile(r"\{(\w+)(?::\w+)?\}")
_TYPED = ("/datasets/{ns:seg}/", "/spaces/{ns:seg}/", "/kernels/{ns:seg}/")


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

    def form(self, names: list[str]) -> bytes:
        """Fields of a form, most of them such as the form has."""
        if self.random.random() < 0.1:
            return self.random.choice(BODIES)
        known = names * 4 + FIELDS
        chosen = names if self.random.random() < 0.5 else self.random.choices(known, k=4)
        pairs = [f"{name}={self._text()}" for name in chosen]
        return "&".join(pairs).encode()

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
            value = self._text()
            if name == "cursor" and self.random.random() < 0.7:
                value = self.cursor()
            parts.append(f"{quote(name, safe='[]')}={value}" if self.random.random() < 0.95 else name)
        return "&".join(parts)

    def _text(self) -> str:
        return quote(self.random.choice(TEXTS), safe="", errors="surrogatepass")

    def headers(self) -> dict[str, str | bytes]:
        return self.random.choice(HEADERS) if self.random.random() < 0.4 else {}

    def fill(self, path: str, usual: Mapping[str, list[str]]) -> str:
        """The template with values: often such that the route finds what it is about."""

        def choose(match: re.Match[str]) -> str:
            known = usual.get(match[1], [])
            if known and self.random.random() < 0.8:
                return self.random.choice(known)
            return self.random.choice(SEGMENTS)

        return _PLACEHOLDER.sub(choose, path)


def plain(path: str, usual: Mapping[str, list[str]]) -> str:
    """The template with the first value that leads to something."""
    return _PLACEHOLDER.sub(lambda match: usual.get(match[1], ["1"])[0], path)


@dataclass(frozen=True, slots=True)
class PageRoute:
    """A page or a form: `fields` and `queries` are the names its module reads."""

    method: str
    path: str
    fields: list[str]
    queries: list[str]


def page_routes(*, every_type: bool = False) -> Iterator[PageRoute]:
    """Every page and every form; those of repositories once, unless `every_type`."""
    for route in flat_routes(build_api()):
        if not isinstance(route, APIRoute) or route.path in ENDLESS:
            continue
        module = route.endpoint.__module__
        if module.startswith("llmos.protocols") or (not every_type and route.path.startswith(_TYPED)):
            continue
        source = inspect.getsource(sys.modules[module])
        fields = sorted(set(_FORM_FIELD.findall(source)))
        queries = sorted({first or second for first, second in _QUERY.findall(source)})
        for method in sorted(route.methods - {"HEAD"}):
            yield PageRoute(method, route.path, fields, queries)
