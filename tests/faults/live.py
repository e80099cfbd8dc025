"""What the tests against a live server share: a repository each, raw connections, bounded waiting."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from kit.server import LiveServer

LIMIT_S = 30


class Visitor:
    """One person's plain HTTP client."""

    def __init__(self, server: LiveServer, person: str = "ada") -> None:
        self.server = server
        self.token = server.tokens[person]
        self.http = httpx.Client(
            base_url=server.url,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=60,
            follow_redirects=True,
        )

    def create(self, name: str, **options: object) -> str:
        self.http.post("/api/repos/create", json={"name": name, **options}).raise_for_status()
        return f"{options.get('organization', 'ada')}/{name}"

    def commit(self, repo: str, files: dict[str, str], **header: str) -> httpx.Response:
        return self.http.post(f"/api/models/{repo}/commit/main", content=commit_lines(files, **header))

    def head(self, repo: str) -> str | None:
        found: str | None = self.http.get(f"/api/models/{repo}").raise_for_status().json()["sha"]
        return found

    def files(self, repo: str) -> set[str]:
        answer = self.http.get(f"/api/models/{repo}/tree/main?recursive=true&limit=1000").raise_for_status()
        return {item["path"] for item in answer.json() if item["type"] == "file"}

    def upload_link(self, repo: str, data: bytes, size: int | None = None) -> httpx.Response:
        """The batch answer for one LFS object."""
        wanted = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data) if size is None else size}
        body = {"operation": "upload", "transfers": ["basic"], "objects": [wanted]}
        return self.http.post(f"/{repo}.git/info/lfs/objects/batch", json=body)

    def upload_href(self, repo: str, data: bytes) -> str:
        href: str = self.upload_link(repo, data).json()["objects"][0]["actions"]["upload"]["href"]
        return href

    def has_object(self, repo: str, data: bytes) -> bool:
        wanted = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
        answer = self.http.post(
            f"/{repo}.git/info/lfs/objects/batch", json={"operation": "download", "objects": [wanted]}
        )
        return "actions" in answer.json()["objects"][0]


def commit_lines(files: dict[str, str], **header: str) -> bytes:
    lines: list[dict[str, object]] = [
        {"key": "header", "value": {"summary": "Write", "description": "", **header}},
        *({"key": "file", "value": {"path": path, "content": text}} for path, text in files.items()),
    ]
    return b"\n".join(json.dumps(line).encode() for line in lines)


def open_request(url: str, method: str, headers: dict[str, str]) -> socket.socket:
    """A connection on which the head of a request has been sent."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=LIMIT_S)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    fields = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
    connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n{fields}\r\n".encode())
    return connection


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Poll with a limit: what another process does has no event to wait on."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def leftovers(home: Path) -> list[Path]:
    """Temporary files of uploads, commits and pushes; uploads in parts may go on later."""
    found = [path for path in (home / "tmp").glob("*") if path.is_file()]
    # Folders that go while one looks are what one waits for: os.walk passes over them.
    for folder, folders, files in os.walk(home / "git"):
        found += [Path(folder, name) for name in (*folders, *files) if _is_left(name)]
    return found


def _is_left(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in ("tmp_*", "*.lock", "incoming-*", "quarantine*"))
