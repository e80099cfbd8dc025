"""A bucket with the store's small files, talked to as a client would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient

from features.storage.xet.conftest import Made, Store
from llmos.infra.runtime import Runtime


@dataclass
class Buckets:
    """Hub routes of buckets on behalf of a person."""

    http: TestClient
    tokens: dict[str, str]

    def send(self, method: str, path: str, person: str = "ada", **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[person]}"} if person else {}
        return self.http.request(method, path, headers=headers | options.pop("headers", {}), **options)

    def api(self, method: str, path: str, person: str = "ada", **options: Any) -> Any:
        return self.send(method, f"/api/buckets/{path}", person, **options)

    def create(self, name: str, person: str = "ada", **body: Any) -> str:
        answer = self.api("POST", name, person, json=body)
        assert answer.status_code == 200, answer.text
        return name

    def token(self, bucket: str, kind: str = "write", person: str = "ada") -> str:
        answer = self.api("GET", f"{bucket}/xet-{kind}-token", person)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["accessToken"]
        return token

    def batch(self, bucket: str, *lines: dict[str, Any], person: str = "ada") -> Any:
        return self.api("POST", f"{bucket}/batch", person, content="\n".join(map(json.dumps, lines)))

    def bring(self, bucket: str, made: Made, *paths: str) -> None:
        """Upload a file and put it under each path."""
        store = Store(self.http, self.tokens)
        assert store.upload(self.token(bucket), made)[0] == 200
        lines = [add(path, made.file_hash) for path in paths]
        if lines:
            answer = self.batch(bucket, *lines)
            assert answer.status_code == 200, answer.text

    def paths(self, bucket: str, tail: str = "/tree?recursive=true") -> list[str]:
        return [entry["path"] for entry in self.api("GET", bucket + tail).json()]


def add(path: str, xet_hash: str) -> dict[str, Any]:
    return {"type": "addFile", "path": path, "xetHash": xet_hash, "mtime": 1_700_000_000_123}


def copy(path: str, xet_hash: str, kind: str, source: str) -> dict[str, Any]:
    return add(path, xet_hash) | {"type": "copyFile", "sourceRepoType": kind, "sourceRepoId": source}


@pytest.fixture
def buckets(app_client: TestClient, tokens: dict[str, str]) -> Buckets:
    return Buckets(app_client, tokens)


@pytest.fixture
def bucket(buckets: Buckets, rt: Runtime) -> str:
    return buckets.create("ada/things", private=True)
