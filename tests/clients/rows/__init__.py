"""Every address of the Hub's table, called by a client of any version; run by the client's own Python.

A row is one address. It uses the methods of `HfApi` that call it, looks at what they return, and counts
only if the client really sent that request. A version without these methods says the row is absent.
Words in brackets tell rows of one address apart.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import io
import json
import os
import re
import traceback
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi

_PARTS = {
    "{T}": "(models|datasets|spaces|kernels)",
    "{id}": "[^/]+/[^/]+",
    "{prefix}": "(datasets/|spaces/|kernels/)?",
    "{path}": ".+",
}


@dataclass
class World:
    """Two people with their clients, and what was sent and called so far."""

    folder: Path
    ada: HfApi = field(default_factory=HfApi)
    grace: HfApi = field(default_factory=lambda: HfApi(token=os.environ["GRACE_TOKEN"]))
    sent: list[str] = field(default_factory=list)
    called: set[str] = field(default_factory=set)

    def name(self, word: str = "row") -> str:
        return f"ada/{word}-{uuid.uuid4().hex[:10]}"

    def repo(self, kind: str = "model", files: dict[str, bytes] | None = None, **options: Any) -> str:
        """A new repository of ada's with these files, large ones as LFS objects."""
        name = self.name(kind)
        if kind == "space":
            options["space_sdk"] = "static"
        self.ada.create_repo(name, repo_type=kind, **options)
        if files:
            self.add(name, files, repo_type=kind)
        return name

    def add(self, name: str, files: dict[str, bytes], **options: Any) -> Any:
        adds = [CommitOperationAdd(path, io.BytesIO(data)) for path, data in files.items()]
        return self.ada.create_commit(name, adds, commit_message="Add files", **options)

    def send(self, method: str, path: str, body: object = None, person: str = "ada") -> Any:
        """What the client has no call for: a like, a request for access."""
        token = os.environ["HF_TOKEN" if person == "ada" else "GRACE_TOKEN"]
        request = urllib.request.Request(
            os.environ["HF_ENDPOINT"] + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def form(self, path: str, values: dict[str, str]) -> None:
        """What ada does in a form of a page."""
        own = os.environ["HF_ENDPOINT"]
        headers = {"Authorization": f"Bearer {os.environ['HF_TOKEN']}", "Origin": own}
        data = urllib.parse.urlencode(values).encode()
        urllib.request.urlopen(urllib.request.Request(own + path, data=data, headers=headers)).close()


@dataclass(frozen=True)
class Row:
    name: str
    needs: tuple[str, ...]
    run: Callable[[World], None]

    def missing(self) -> list[str]:
        """What this version of the client lacks: `method`, `method:parameter`, or `package.module:name`."""
        return [need for need in self.needs if not _has(*need.split(":"))]

    def matches(self, sent: str) -> bool:
        pattern = re.escape(self.name.partition(" (")[0]).replace(r"\{", "{").replace(r"\}", "}")
        for part, expression in _PARTS.items():
            pattern = pattern.replace(part, expression)
        pattern = re.sub(r"\{\w+\}", "[^/]+", pattern)
        return re.fullmatch(pattern, sent) is not None


def _has(method: str, parameter: str = "") -> bool:
    if "." in method:
        try:
            return hasattr(importlib.import_module(method), parameter)
        except ImportError:
            return False
    found = getattr(HfApi, method, None)
    return found is not None and (not parameter or parameter in inspect.signature(found).parameters)


ROWS: dict[str, Row] = {}


def row(request: str, *needs: str) -> Callable[[Callable[[World], None]], Callable[[World], None]]:
    """Declare the row of an address, and what of `HfApi` it takes."""

    def declare(run: Callable[[World], None]) -> Callable[[World], None]:
        assert request not in ROWS, request
        ROWS[request] = Row(request, needs, run)
        return run

    return declare


def status_of(call: Callable[[], object]) -> int:
    """The status with which the server refuses a call."""
    try:
        call()
    except Exception as error:
        response = getattr(error, "response", None)
        if response is None:
            raise
        return int(response.status_code)
    raise AssertionError("the call was not refused")


def raises(kind: type[Exception], call: Callable[[], object]) -> bool:
    """Whether a call is refused in this way."""
    try:
        call()
    except kind:
        return True
    return False


def watch_requests(sent: list[str]) -> None:
    """Note what the client sends, whichever library its version sends it with."""
    for library, owner in (("requests", "Session"), ("httpx", "Client"), ("httpx2", "Client")):
        try:
            kind = getattr(__import__(library), owner)
        except ImportError:
            continue
        kind.send = _noting(kind.send, sent)


def _noting(send: Callable[..., Any], sent: list[str]) -> Callable[..., Any]:
    @functools.wraps(send)
    def noted(self: object, request: Any, *args: Any, **options: Any) -> Any:
        address = str(request.url).removeprefix(os.environ["HF_ENDPOINT"])
        sent.append(f"{request.method} {address.partition('?')[0]}")
        return send(self, request, *args, **options)

    return noted


def watch_calls(called: set[str]) -> list[str]:
    """Note which methods of `HfApi` are used; return the names of all."""
    names = [name for name in dir(HfApi) if not name.startswith("_") and callable(getattr(HfApi, name))]
    for name in names:
        setattr(HfApi, name, _counting(name, getattr(HfApi, name), called))
    return names


def _counting(name: str, method: Callable[..., Any], called: set[str]) -> Callable[..., Any]:
    @functools.wraps(method)
    def counted(*args: Any, **options: Any) -> Any:
        called.add(name)
        return method(*args, **options)

    return counted


def outcome(row: Row, world: World) -> str:
    """`ok`, `absent`, or what went wrong."""
    if row.missing():
        return "absent"
    before = len(world.sent)
    try:
        row.run(world)
    except Exception:
        return traceback.format_exc(limit=-4)
    sent = world.sent[before:]
    return "ok" if any(map(row.matches, sent)) else f"never sent, only {sorted(set(sent))}"
