"""Every address in an answer is on the host the client used: clients refuse any other."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from llmos.app.asgi import create_app
from llmos.infra.runtime import Runtime

HOSTS = ["http://localhost:8642", "http://127.0.0.1:8642", "https://hub.example.org", "http://[::1]:9000"]


def addresses(value: Any) -> list[str]:
    """All absolute addresses anywhere in an answer."""
    return re.findall(r"https?://[^/\"\\<>; ]+", str(value))


def test_addresses_are_on_the_host_that_was_asked(rt: Runtime, tokens: dict[str, str]) -> None:
    app = create_app(runtime=rt)
    data = b"x" * 100
    oid = hashlib.sha256(data).hexdigest()
    batch = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": oid, "size": 100}]}
    lines = (
        '{"key": "header", "value": {"summary": "Add"}}\n'
        '{"key": "file", "value": {"path": "a.txt", "content": "eA==", "encoding": "base64"}}\n'
    )
    for number, host in enumerate(HOSTS):
        headers = {"Authorization": f"Bearer {tokens['ada']}"}
        with TestClient(app, base_url=host, follow_redirects=False, headers=headers) as client:
            name = f"tiny-{number}"
            tiny = f"/api/models/ada/{name}"
            made = client.post("/api/repos/create", json={"name": name})
            again = client.post("/api/repos/create", json={"name": name})
            assert (made.status_code, again.status_code) == (200, 409)
            body = {"Content-Type": "application/x-ndjson"}
            answers = {
                "created": made.json()["url"],
                "exists": again.json()["url"],
                "commit": client.post(f"{tiny}/commit/main", content=lines, headers=body).json()["commitUrl"],
                "pull request": client.post(
                    f"{tiny}/commit/main?create_pr=1", content=lines.replace("a.txt", "b.txt"), headers=body
                ).json()["pullRequestUrl"],
                "next page": client.get(f"{tiny}/tree/main?limit=1").headers["link"],
                "upload": client.post(f"/ada/{name}.git/info/lfs/objects/batch", json=batch).json(),
                "chunks": client.get(f"{tiny}/xet-write-token/main").json()["casUrl"],
                "person": client.get("/api/whoami-v2").json()["avatarUrl"],
                "sign-in": client.get("/.well-known/openid-configuration").json()["token_endpoint"],
                "device": client.post("/oauth/device", data={"client_id": "x"}).text,
            }
            for what, answer in answers.items():
                found = addresses(answer)
                assert found, what
                assert set(found) == {host}, what


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "Forwarded", "X-Original-URL"])
def test_no_header_of_a_stranger_changes_them(
    app_client: TestClient, tokens: dict[str, str], name: str
) -> None:
    headers = {"Authorization": f"Bearer {tokens['ada']}", name: "host=evil.example"}
    made = app_client.post("/api/repos/create", json={"name": "tiny"}, headers=headers)
    assert addresses(made.json()["url"]) == ["http://testserver"]
