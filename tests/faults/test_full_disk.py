"""A disk that is full, for files of more than a few MB: refused as such, and nothing changes."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from faults.live import Visitor, leftovers, wait_for
from kit.databases import Databases
from kit.people import add_people
from kit.programs import client_env, run
from kit.server import LiveServer, live_server
from llmos.infra.runtime import open_runtime
from llmos.infra.settings import Settings

MIB = 1024 * 1024
LIMIT_BYTES = 6 * MIB


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, _databases: Databases) -> Iterator[LiveServer]:
    """A server that cannot write a file of more than 6 MiB."""
    home = tmp_path_factory.mktemp("small") / "home"
    extra = _databases.fill(home)
    runtime = open_runtime(Settings(home=home, **extra))
    tokens = add_people(runtime)
    runtime.close()
    limits = {"lfs_multipart_above_bytes": str(12 * MIB), "lfs_part_bytes": str(5 * MIB)}
    with live_server(home, file_limit_bytes=LIMIT_BYTES, **extra, **limits) as server:
        server.tokens.update(tokens)
        yield server


@pytest.fixture
def ada(small: LiveServer) -> Iterator[Visitor]:
    visitor = Visitor(small)
    yield visitor
    visitor.http.close()


def check_unharmed(ada: Visitor, repo: str, head: str | None) -> None:
    """As before, clean, and able to go on."""
    wait_for(lambda: not leftovers(ada.server.home), f"nothing is left: {leftovers(ada.server.home)}")
    assert ada.head(repo) == head
    assert ada.commit(repo, {"after.txt": "x"}).status_code == 200


def test_an_upload_finds_no_room(ada: Visitor) -> None:
    repo = ada.create("full-upload")
    head = ada.head(repo)
    data = os.urandom(LIMIT_BYTES + 1)
    answer = httpx.put(ada.upload_href(repo, data), content=data, timeout=60)
    assert answer.status_code == 507, answer.text
    assert "disk is full" in answer.json()["message"]
    assert not ada.has_object(repo, data)
    check_unharmed(ada, repo, head)


def test_a_multipart_upload_finds_no_room(ada: Visitor) -> None:
    repo = ada.create("full-parts")
    data = os.urandom(13 * MIB)
    wanted = {"oid": "ab" * 32, "size": len(data)}
    body = {"operation": "upload", "transfers": ["multipart", "basic"], "objects": [wanted]}
    answer = ada.http.post(f"/{repo}.git/info/lfs/objects/batch", json=body).json()
    parts = answer["objects"][0]["actions"]["upload"]["header"]
    assert httpx.put(parts["1"], content=data[: 5 * MIB]).status_code == 200
    refused = httpx.put(parts["2"], content=data[5 * MIB : 10 * MIB])
    assert refused.status_code == 507, refused.text


def test_a_commit_finds_no_room(ada: Visitor) -> None:
    repo = ada.create("full-commit")
    ada.commit(repo, {"a.txt": "1"})
    head = ada.head(repo)
    content = base64.b64encode(os.urandom(8 * MIB)).decode()
    lines = [
        {"key": "header", "value": {"summary": "Large", "description": ""}},
        {"key": "file", "value": {"path": "large.txt", "content": content, "encoding": "base64"}},
    ]
    body = b"\n".join(json.dumps(line).encode() for line in lines)
    answer = ada.http.post(f"/api/models/{repo}/commit/main", content=body)
    assert answer.status_code == 507, answer.text
    assert "disk is full" in answer.json()["error"]
    assert ada.http.get(f"/{repo}/resolve/main/large.txt").status_code == 404
    check_unharmed(ada, repo, head)


def test_a_push_finds_no_room(ada: Visitor, tmp_path: Path) -> None:
    repo = ada.create("full-push")
    ada.commit(repo, {"a.txt": "1"})
    head = ada.head(repo)
    env = client_env(ada.server, tmp_path) | {"GIT_AUTHOR_NAME": "Ada", "GIT_COMMITTER_NAME": "Ada"}
    env |= {"GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_COMMITTER_EMAIL": "ada@example.org"}
    url = ada.server.url.replace("://", f"://ada:{ada.token}@") + f"/{repo}"
    run(["git", "clone", "-q", url, "work"], env, tmp_path)
    (tmp_path / "work" / "large.bin").write_bytes(os.urandom(8 * MIB))
    run(["git", "add", "."], env, tmp_path / "work")
    run(["git", "commit", "-qm", "Large"], env, tmp_path / "work")
    pushed = run(["git", "push", "origin", "HEAD:main"], env, tmp_path / "work", check=False)
    assert pushed.returncode != 0
    check_unharmed(ada, repo, head)


def test_a_xet_upload_finds_no_room(ada: Visitor, tmp_path: Path) -> None:
    repo = ada.create("full-xet")
    head = ada.head(repo)
    source = tmp_path / "large.bin"
    source.write_bytes(os.urandom(20 * MIB))
    env = client_env(ada.server, tmp_path) | {"HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "1"}
    done = run(["hf", "upload", repo, str(source), "large.bin"], env, check=False)
    assert done.returncode != 0
    check_unharmed(ada, repo, head)
