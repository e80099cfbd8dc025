"""Every route of buckets with hostile values, on a bucket that exists: never a fault of the server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from faults.hostile import SEGMENTS, TEXTS
from faults.rawclient import RawClient
from faults.test_openapi_fuzz import CALLERS, Dice, complaint, operations

ROUNDS = 12
KINDS = ("addFile", "copyFile", "deleteFile", "odd")
FIELDS = ("path", "xetHash", "mtime", "contentType", "sourceRepoType", "sourceRepoId")


def bucket_operations() -> list[tuple[str, str, list[str]]]:
    return [item for item in operations() if "/buckets/" in item[1]]


def batch(dice: Dice) -> bytes:
    lines = []
    for _ in range(dice.random.randrange(6)):
        line = {
            name: dice.value() if dice.random.random() < 0.3 else dice.random.choice(TEXTS) for name in FIELDS
        }
        lines.append(json.dumps(line | {"type": dice.random.choice(KINDS)}))
    return "\n".join(lines).encode()


def addresses(template: str, dice: Dice) -> Iterator[str]:
    for _ in range(ROUNDS):
        path = template.replace("{namespace}", dice.random.choice(["ada", "ada", "ada", "me", "lab"]))
        path = path.replace("{name}", dice.random.choice(["open", "open", *SEGMENTS]))
        yield path.replace("{path}", dice.random.choice(SEGMENTS)).replace(
            "{prefix}", dice.random.choice(SEGMENTS)
        )


@pytest.mark.parametrize("operation", bucket_operations(), ids=lambda item: f"{item[0]} {item[1]}")
def test_no_value_breaks_a_route(
    ask: RawClient, tokens: dict[str, str], operation: tuple[str, str, list[str]]
) -> None:
    method, template, names = operation
    ask("POST", "/api/buckets/ada/open", body=b"{}", token=tokens["ada"])
    dice = Dice(f"buckets {method} {template}")
    complaints = []
    for path in addresses(template, dice):
        for caller in CALLERS:
            query, headers = dice.query([*names, "recursive"]), dice.headers()
            body = batch(dice) if template.endswith("/batch") else dice.body() if method != "GET" else b""
            request = f"{method} {path}?{query} {caller} {headers} {body[:300]!r}"
            answer = ask(method, f"{path}?{query}", headers=headers, body=body, token=tokens.get(caller))
            if problem := complaint(answer, request):
                complaints.append(problem)
    assert not complaints, "\n".join(complaints)
