"""HEAD is answered wherever GET is: same status, same headers, no body."""

from __future__ import annotations

import re
import warnings

import httpx
from huggingface_hub import HfApi

from kit.server import LiveServer
from llmos.app.asgi import build_api

VALUES = {
    "plural": "models",
    "namespace": "ada",
    "name": "headed",
    "rev": "main",
    "path": "README.md",
    "org": "lab",
    "user": "ada",
    "status": "pending",
}
# Of one answer alone: its time and id, what is left of a rate, how long a token still lasts.
OWN = {"date", "set-cookie", "x-request-id", "ratelimit", "x-xet-access-token", "x-xet-token-expiration"}


def get_addresses() -> list[str]:
    with warnings.catch_warnings(action="ignore"):
        paths = build_api().openapi()["paths"]
    found = [
        re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: VALUES.get(match[1], "x"), path)
        for path, methods in sorted(paths.items())
        if "get" in methods
    ]
    return [*found, "/settings/applications", "/login", "/ada/headed", "/ada/headed/commits/main", "/nobody"]


def own_less(answer: httpx.Response) -> dict[str, str]:
    found = {name: value for name, value in answer.headers.items() if name not in OWN}
    return found | ({"content-length": ""} if "x-xet-access-token" in answer.headers else {})


def test_every_get_route_answers_head(server: LiveServer) -> None:
    HfApi(endpoint=server.url, token=server.tokens["ada"]).create_repo("ada/headed", exist_ok=True)
    addresses = get_addresses()
    assert len(addresses) > 50
    headers = {
        "authorization": f"Bearer {server.tokens['ada']}",
        "x-request-id": "the-same-for-both",
        "accept-encoding": "identity",
    }
    worked = 0
    with httpx.Client(base_url=server.url, headers=headers) as client:
        for address in addresses:
            get, head, again = client.get(address), client.head(address), client.get(address)
            assert head.content == b"", address
            assert head.status_code == get.status_code, address
            # A page says how long ago something was, which may be a digit longer a moment later.
            assert own_less(head) in (own_less(get), own_less(again)), address
            worked += get.status_code == 200
    assert worked > 20
