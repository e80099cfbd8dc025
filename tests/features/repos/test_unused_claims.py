"""Uploads that no commit names stop counting after the grace; those in use, or once in use, stay."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pygit2
import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from llmos.core import clock
from llmos.features.accounts.models import Namespace
from llmos.features.repos.claims import used_bytes
from llmos.features.repos.files import open_git
from llmos.features.repos.models import RemovedLfsFile, Repo, RepoLfsClaim
from llmos.features.repos.unused_claims import drop_unused_claims
from llmos.infra.git.refs import ANY, update_ref
from llmos.infra.runtime import Runtime

BATCH = "/ada/tiny-llm.git/info/lfs/objects/batch"
LFS = {"content-type": "application/vnd.git-lfs+json"}


@pytest.fixture
def client(app_client: TestClient, tokens: dict[str, str]) -> TestClient:
    app_client.headers["authorization"] = f"Bearer {tokens['ada']}"
    app_client.post("/api/repos/create", json={"name": "tiny-llm"}).raise_for_status()
    return app_client


def upload(client: TestClient, data: bytes) -> str:
    oid = hashlib.sha256(data).hexdigest()
    asked = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": oid, "size": len(data)}]}
    answer = client.post(BATCH, json=asked, headers=LFS).json()
    client.put(answer["objects"][0]["actions"]["upload"]["href"], content=data).raise_for_status()
    return oid


def commit(client: TestClient, path: str, oid: str) -> None:
    body = (
        '{"key":"header","value":{"summary":"x"}}\n'
        f'{{"key":"lfsFile","value":{{"path":"{path}","algo":"sha256","oid":"{oid}"}}}}'
    )
    client.post("/api/models/ada/tiny-llm/commit/main", content=body).raise_for_status()


def get_oids(rt: Runtime) -> set[str]:
    with rt.database.reading() as db:
        return set(db.scalars(select(RepoLfsClaim.oid)))


def grow_old(rt: Runtime, **values: object) -> None:
    long_ago = clock.now() - timedelta(days=rt.settings.gc_grace_days + 1)
    with rt.database.writing() as db:
        db.execute(update(RepoLfsClaim).values(created_at=long_ago, **values))


def test_only_what_nobody_committed_is_given_up(rt: Runtime, client: TestClient) -> None:
    used, unused = upload(client, b"used " * 100), upload(client, b"unused " * 100)
    commit(client, "model.bin", used)
    assert drop_unused_claims(rt) == 0  # still within the grace
    grow_old(rt)
    assert drop_unused_claims(rt) == 1
    assert get_oids(rt) == {used}
    with rt.database.reading() as db:
        assert db.scalars(select(RemovedLfsFile.oid)).all() == [unused]
    again = upload(client, b"unused " * 100)  # sent again, it counts again
    assert get_oids(rt) == {used, again}


def test_the_quota_is_free_again(rt: Runtime, client: TestClient) -> None:
    upload(client, b"0123456789" * 100)
    with rt.database.reading() as db:
        namespace_id = db.scalars(select(Repo.namespace_id)).one()
        assert used_bytes(db, namespace_id) == 1000
    grow_old(rt)
    drop_unused_claims(rt)
    with rt.database.reading() as db:
        assert used_bytes(db, namespace_id) == 0


def test_marks_from_before_are_found_in_the_history(rt: Runtime, client: TestClient) -> None:
    oid = upload(client, b"once here " * 100)
    commit(client, "model.bin", oid)
    body = '{"key":"header","value":{"summary":"x"}}\n{"key":"deletedFile","value":{"path":"model.bin"}}'
    client.post("/api/models/ada/tiny-llm/commit/main", content=body).raise_for_status()
    grow_old(rt, used_at=None)
    assert drop_unused_claims(rt) == 0
    assert get_oids(rt) == {oid}
    with rt.database.reading() as db:
        assert db.scalars(select(RepoLfsClaim.used_at)).one() is not None


def test_a_nearly_full_namespace_is_told_so(rt: Runtime, client: TestClient) -> None:
    upload(client, b"0123456789" * 100)
    asked = {"files": [{"path": "a.txt", "sample": "", "size": 3}]}
    url = "/api/models/ada/tiny-llm/preupload/main"
    assert "x-hf-warning" not in client.post(url, json=asked).headers
    with rt.database.writing() as db:
        db.execute(update(Namespace).where(Namespace.name_key == "ada").values(quota_bytes=1100))
    warning = client.post(url, json=asked).headers["x-hf-warning"]
    assert warning == "Storage; ada has used 90 % of its storage quota: delete files or ask for more."


def test_a_renamed_program_stays_executable(rt: Runtime, client: TestClient) -> None:
    with rt.database.reading() as db:
        repo = db.scalars(select(Repo)).unique().one()
    git_repo = open_git(rt, repo)
    tree = git_repo.TreeBuilder()
    inner = git_repo.TreeBuilder()
    inner.insert("run.sh", git_repo.create_blob(b"#!/bin/sh\n"), 0o100755)
    tree.insert("bin", inner.write(), 0o040000)
    who = pygit2.Signature("Ada", "ada@example.org")
    oid = git_repo.create_commit(None, who, who, "x", tree.write(), [git_repo.head.target])
    update_ref(git_repo, "refs/heads/main", str(oid), ANY)
    body = (
        '{"key":"header","value":{"summary":"rename"}}\n'
        '{"key":"file","value":{"path":"start.sh","content":"#!/bin/sh\\n","oldPath":"bin/run.sh"}}'
    )
    client.post("/api/models/ada/tiny-llm/commit/main", content=body).raise_for_status()
    git_repo = open_git(rt, repo)
    entries = {entry.name: entry.filemode for entry in git_repo.revparse_single("main").peel(pygit2.Tree)}
    assert entries == {"start.sh": 0o100755}
