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
            get, head = client.get(address), client.head(address)
            assert head.content == b"", address
            assert head.status_code == get.status_code, address
            both = [
                {name: value for name, value in answer.headers.items() if name not in OWN}
                for answer in (get, head)
            ]
            if "x-xet-access-token" in get.headers:
                both = [answer | {"content-length": ""} for answer in both]
            assert both[1] == both[0], address
            worked += get.status_code == 200
    assert worked > 20
