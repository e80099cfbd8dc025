"""A store with small files made by the format room, talked to as a client would."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from llmos.features.auth.credentials import actor_for_token
from llmos.features.repos.lifecycle import create_repo
from llmos.features.storage.xet.models import XetXorb
from llmos.features.storage.xet.xorbs import key_of
from llmos.infra.runtime import Runtime
from llmos.infra.xet.hashes import hash_range, to_hex
from llmos.infra.xet.merkle import file_hash
from llmos.infra.xet.shard import ShardFile, ShardTerm, ShardXorb
from llmos.infra.xet.shard_writer import write_shard
from llmos.infra.xet.xorb import ParsedXorb, build_xorb

CHUNK_BYTES = 16_384


@dataclass(frozen=True)
class Made:
    """A file cut into one xorb, with everything a client would send for it."""

    data: bytes
    xorb: bytes
    parsed: ParsedXorb
    file: ShardFile

    @property
    def xorb_hash(self) -> str:
        return to_hex(self.parsed.xorb_hash)

    @property
    def file_hash(self) -> str:
        return to_hex(self.file.file_hash)

    def shard(self, **changes: object) -> bytes:
        """The shard, with fields of the file record replaced by `changes`."""
        xorbs = [ShardXorb.from_table(self.parsed.xorb_hash, self.parsed.table())]
        return write_shard([replace(self.file, **changes)], xorbs)  # type: ignore[arg-type]


def make_file(seed: int, chunk_count: int = 4, scheme: int | None = None) -> Made:
    data = np.random.default_rng(seed).bytes(chunk_count * CHUNK_BYTES)
    chunks = [data[i : i + CHUNK_BYTES] for i in range(0, len(data), CHUNK_BYTES)]
    xorb, parsed = build_xorb(chunks, scheme)
    table = parsed.table()
    term = ShardTerm(parsed.xorb_hash, len(data), 0, chunk_count)
    file = ShardFile(
        file_hash(table.nodes(0, chunk_count)),
        [term],
        [hash_range(table.hashes(0, chunk_count))],
        hashlib.sha256(data).hexdigest(),
    )
    return Made(data, xorb, parsed, file)


@dataclass
class Store:
    """The routes of the live application, with tokens as the Hub hands them out."""

    http: TestClient
    tokens: dict[str, str]

    def token(self, person: str, repo_id: str, kind: str = "write", rev: str = "main") -> str:
        headers = {"Authorization": f"Bearer {self.tokens[person]}"}
        answer = self.http.get(f"/api/models/{repo_id}/xet-{kind}-token/{rev}", headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers["X-Xet-Access-Token"] == answer.json()["accessToken"]
        token: str = answer.json()["accessToken"]
        return token

    def post(self, path: str, token: str, body: bytes = b"") -> tuple[int, str]:
        answer = self.http.post(f"/cas{path}", content=body, headers={"Authorization": f"Bearer {token}"})
        return answer.status_code, answer.text

    def get(self, path: str, token: str, **headers: str) -> tuple[int, bytes]:
        answer = self.http.get(f"/cas{path}", headers={"Authorization": f"Bearer {token}"} | headers)
        return answer.status_code, answer.content

    def upload(self, token: str, made: Made, **changes: object) -> tuple[int, str]:
        status, text = self.post(f"/v1/xorbs/default/{made.xorb_hash}", token, made.xorb)
        assert status == 200, text
        return self.post("/v1/shards", token, made.shard(**changes))

    def commit(self, person: str, repo_id: str, made: Made, path: str = "model.bin") -> None:
        """Put an uploaded file under a path of the repository."""
        lines: list[dict[str, object]] = [
            {"key": "header", "value": {"summary": "Add a file"}},
            {
                "key": "lfsFile",
                "value": {"path": path, "algo": "sha256", "oid": made.file.sha256, "size": len(made.data)},
            },
        ]
        body = b"\n".join(json.dumps(line).encode() for line in lines)
        headers = {"Authorization": f"Bearer {self.tokens[person]}", "Content-Type": "application/x-ndjson"}
        answer = self.http.post(f"/api/models/{repo_id}/commit/main", content=body, headers=headers)
        assert answer.status_code == 200, answer.text


@pytest.fixture
def store(app_client: TestClient, tokens: dict[str, str]) -> Store:
    return Store(app_client, tokens)


@pytest.fixture
def make_repo(rt: Runtime, tokens: dict[str, str]) -> Callable[..., str]:
    """`make_repo("ada", "tiny-llm")` -> "ada/tiny-llm"."""

    def make(person: str, name: str, *, private: bool = False) -> str:
        with rt.database.writing() as db:
            actor = actor_for_token(db, tokens[person])
            visibility = "private" if private else "public"
            create_repo(db, actor, rt, name=f"{person}/{name}", visibility=visibility)
        return f"{person}/{name}"

    return make


def object_path(rt: Runtime, xorb_hash: str) -> Path:
    """The file that holds a stored xorb."""
    with rt.database.reading() as db:
        path = rt.objects.local_path(key_of(db.get_one(XetXorb, xorb_hash)))
    assert path is not None
    return path
