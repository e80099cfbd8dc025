"""The storage pages: numbers that are right, files that go and come back, closed to others."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update

from features.repos.pages.conftest import Visitors
from features.storage.xet.conftest import CHUNK_BYTES, Made, Store, make_file
from kit.statements import counted
from llmos.core import clock
from llmos.features.repos.models import RemovedLfsFile, Repo, RepoLfsClaim
from llmos.features.repos.storage_report import namespace_sums, repo_sums
from llmos.infra.runtime import Runtime
from llmos.infra.xet.hashes import hash_range
from llmos.infra.xet.merkle import file_hash
from llmos.infra.xet.shard import ShardFile, ShardTerm
from llmos.ui.filters import filesize

NAME = "ada/tiny-llm"
PAGE = f"/{NAME}/settings/storage"
FIRST = make_file(1)


def variant() -> tuple[Made, Made]:
    """(what is new in it, the whole): its first half are chunks of FIRST."""
    fresh = make_file(2, chunk_count=2)
    old, new = FIRST.parsed.table(), fresh.parsed.table()
    data = FIRST.data[: 2 * CHUNK_BYTES] + fresh.data
    terms = [
        ShardTerm(FIRST.parsed.xorb_hash, 2 * CHUNK_BYTES, 0, 2),
        ShardTerm(fresh.parsed.xorb_hash, 2 * CHUNK_BYTES, 0, 2),
    ]
    name = file_hash([*old.nodes(0, 2), *new.nodes(0, 2)])
    proofs = [hash_range(old.hashes(0, 2)), hash_range(new.hashes(0, 2))]
    file = ShardFile(name, terms, proofs, hashlib.sha256(data).hexdigest())
    return fresh, replace(fresh, data=data, file=file)


@pytest.fixture
def store(visitors: Visitors) -> Store:
    return Store(visitors.client, dict(visitors.tokens))


def commit(visitors: Visitors, path: str, data: bytes, rev: str = "main") -> None:
    lines = [
        {"key": "header", "value": {"summary": f"Put {path}", "description": ""}},
        {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "size": len(data),
                                     "oid": hashlib.sha256(data).hexdigest()}},
    ]  # fmt: skip
    answer = visitors.client.post(
        f"/api/models/{NAME}/commit/{rev}",
        content="\n".join(map(json.dumps, lines)),
        headers={"authorization": f"Bearer {visitors.tokens['ada']}", "content-type": "application/x-ndjson"},
    )
    assert answer.status_code == 200, answer.text


@pytest.fixture
def repo(visitors: Visitors, store: Store) -> str:
    """A private repository: FIRST, then its variant under the same path."""
    body = {"name": "tiny-llm", "type": "model", "private": True}
    auth = {"authorization": f"Bearer {visitors.tokens['ada']}"}
    assert visitors.client.post("/api/repos/create", json=body, headers=auth).status_code == 200
    token = store.token("ada", NAME)
    assert store.upload(token, FIRST)[0] == 200
    commit(visitors, "model.bin", FIRST.data)
    second = variant()[1]
    assert store.upload(token, second)[0] == 200
    commit(visitors, "model.bin", second.data)
    return NAME


def row_of(rt: Runtime) -> Repo:
    with rt.database.reading() as db:
        return db.scalars(select(Repo).where(Repo.name_key == "tiny-llm")).unique().one()


def test_shared_chunks_count_once(rt: Runtime, repo: str) -> None:
    fresh = variant()[0]
    with rt.database.reading() as db:
        sums = repo_sums(db, row_of(rt))
        assert sums is not None
        whole = namespace_sums(db, row_of(rt).namespace_id)
    assert (sums.file_count, sums.logical_bytes) == (2, 8 * CHUNK_BYTES)
    assert sums.unique_bytes == 6 * CHUNK_BYTES
    assert sums.shared_bytes == 2 * CHUNK_BYTES
    assert sums.stored_bytes == len(FIRST.xorb) + len(fresh.xorb)
    assert whole == sums
    with rt.database.reading() as db:
        # Without the first version, half of its xorb is still needed.
        rest = repo_sums(db, row_of(rt), without=[hashlib.sha256(FIRST.data).hexdigest()])
    assert rest is not None
    assert rest.unique_bytes == 4 * CHUNK_BYTES
    packed = FIRST.parsed.table().packed_ends
    assert rest.stored_bytes == int(packed[1]) + len(fresh.xorb)


def test_page_tells_head_from_history(visitors: Visitors, repo: str) -> None:
    page = visitors.get(PAGE, "ada")
    assert page.status_code == 200
    assert page.text.count("model.bin") >= 3
    assert "Only in history" in page.text
    assert "See what would go" in page.text
    assert 'value="' + hashlib.sha256(FIRST.data).hexdigest() in page.text
    in_history = visitors.get(PAGE + "?state=history", "ada").text
    rows = re.findall(r'name="oid" value="([0-9a-f]{64})"', in_history)
    assert rows == [hashlib.sha256(FIRST.data).hexdigest()]
    assert "大文件" in visitors.get(PAGE, "ada", locale="zh").text
    assert visitors.get(PAGE + "?state=odd", "ada").status_code == 400
    assert visitors.get(PAGE + "?after=odd", "ada").status_code == 400


def test_others_do_not_see_it(visitors: Visitors, repo: str) -> None:
    for path in (PAGE, PAGE + "/remove?which=old"):
        assert visitors.get(path, "grace").status_code == 404
    assert visitors.post(PAGE, "grace", action="restore").status_code == 404
    assert visitors.get("/ada/-/storage", "grace").status_code == 404
    auth = {"authorization": f"Bearer {visitors.tokens['ada']}"}
    settings = f"/api/models/{NAME}/settings"
    assert visitors.client.put(settings, json={"private": False}, headers=auth).status_code == 200
    assert visitors.get(PAGE, "grace").status_code == 403
    assert visitors.get(PAGE + "/remove?which=old", "grace").status_code == 403
    assert visitors.post(PAGE, "grace", action="remove", which="old", confirm=NAME).status_code == 403


def test_namespace_page(visitors: Visitors, repo: str) -> None:
    page = visitors.get("/ada/-/storage", "ada")
    assert page.status_code == 200
    assert PAGE in page.text
    assert "no limit" in page.text


def test_namespace_page_asks_little(visitors: Visitors, rt: Runtime, repo: str) -> None:
    with rt.database.writing() as db:
        # Half of its chunks are still needed: the lists of such xorbs are asked for, too.
        db.execute(delete(RepoLfsClaim).where(RepoLfsClaim.oid == hashlib.sha256(FIRST.data).hexdigest()))
    visitors.get("/ada/-/storage", "ada")
    with counted() as statements:
        assert visitors.get("/ada/-/storage", "ada").status_code == 200
    assert len(statements) <= 12, statements


@pytest.mark.parametrize("history", ["keep", "rewrite"])
def test_old_version_goes_and_comes_back(visitors: Visitors, rt: Runtime, repo: str, history: str) -> None:
    oid = hashlib.sha256(FIRST.data).hexdigest()
    preview = visitors.get(PAGE + "/remove?which=old", "ada")
    assert preview.status_code == 200
    assert oid[:8] in preview.text
    # What only the first version needs: half of its xorb.
    half = len(FIRST.xorb) - int(FIRST.parsed.table().packed_ends[1])
    assert filesize(half) in preview.text
    mark = re.search(r'name="mark" value="(\w+)"', preview.text)
    assert mark
    wrong = visitors.post(PAGE, "ada", action="remove", which="old", mark=mark[1], confirm="tiny")
    assert wrong.status_code == 400
    fields = {"action": "remove", "which": "old", "confirm": NAME, "history": history}
    assert visitors.post(PAGE, "ada", **fields, mark="0").status_code == 409
    head = row_of(rt).head_oid
    assert visitors.post(PAGE, "ada", **fields, mark=mark[1]).status_code == 303
    assert (row_of(rt).head_oid == head) is (history == "keep")
    with rt.database.reading() as db:
        assert db.get(RepoLfsClaim, (row_of(rt).id, oid)) is None
        kept = db.get_one(RemovedLfsFile, (row_of(rt).id, oid))
        assert (kept.path, kept.size_bytes) == ("model.bin", len(FIRST.data))
        assert kept.restorable_until - kept.removed_at == timedelta(days=rt.settings.gc_grace_days)
    used = row_of(rt).used_storage_bytes
    assert "Bring back" in visitors.get(PAGE, "ada").text
    assert visitors.post(PAGE, "ada", action="restore", oid=oid).status_code == 303
    assert row_of(rt).used_storage_bytes == used + len(FIRST.data)
    with rt.database.reading() as db:
        assert db.get(RepoLfsClaim, (row_of(rt).id, oid)) is not None
    assert visitors.post(PAGE, "ada", action="restore", oid=oid).status_code == 404


def test_nothing_comes_back_after_the_grace(visitors: Visitors, rt: Runtime, repo: str) -> None:
    oid = hashlib.sha256(FIRST.data).hexdigest()
    fields = {"action": "remove", "oid": oid, "confirm": NAME}
    assert visitors.post(PAGE, "ada", **fields).status_code == 303
    with rt.database.writing() as db:
        db.execute(update(RemovedLfsFile).values(restorable_until=clock.now()))
    assert visitors.post(PAGE, "ada", action="restore").status_code == 404


def test_page_of_many_files_asks_little(visitors: Visitors, rt: Runtime, repo: str) -> None:
    row = row_of(rt)
    with rt.database.writing() as db:
        db.add_all(
            RepoLfsClaim(repo_id=row.id, oid=f"{number:064x}", size_bytes=number + 1)
            for number in range(3000)
        )
    with counted() as statements:
        first = visitors.get(PAGE, "ada")
    assert first.status_code == 200
    assert len(statements) <= 12, statements
    following = re.search(r'href="([^"]*after=[^"]*)"', first.text)
    assert following
    second = visitors.get(following[1].replace("&amp;", "&"), "ada").text
    pattern = r'name="oid" value="([0-9a-f]{64})"'
    assert len(set(re.findall(pattern, first.text + second))) == 100
