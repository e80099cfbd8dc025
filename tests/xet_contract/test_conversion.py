"""LFS uploads become chunks in the background, and no reader can tell."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from kit.programs import run
from kit.server import LiveServer
from llmos.app.convert import convert_all
from llmos.core import clock
from llmos.features.repos.claims import referenced_oids
from llmos.features.repos.models import RepoLfsClaim
from llmos.features.repos.xet_conversion import has_work
from llmos.features.storage.gc import plan_gc
from llmos.features.storage.models import LfsObject
from llmos.features.storage.objects import object_key
from llmos.features.storage.xet.convert_state import remove_retired
from llmos.features.storage.xet.models import XetConversion, XetFile, XetXorb
from llmos.features.storage.xet.scrub import scrub
from llmos.features.storage.xet.tables import unpack_terms, xorb_key, xorbs_of
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings
from xet_contract.conftest import ClientFactory, sample, sha256
from xet_contract.test_round_trips import get

MIB = 1024 * 1024
NOW = timedelta(0)
_seeds = itertools.count(1000)


@contextmanager
def opened(server: LiveServer, **changed: Any) -> Iterator[Runtime]:
    """The server's own folder and database, with some settings changed."""
    values = {k.removeprefix("LLMOS_").lower(): v for k, v in server.env.items() if k.startswith("LLMOS_")}
    rt = open_runtime(Settings(**(values | changed)))
    yield rt
    rt.close()


def convert(server: LiveServer, **changed: Any) -> None:
    with opened(server, **changed) as rt:
        convert_all(rt, settle=NOW)


def state_of(server: LiveServer, oid: str) -> tuple[str, bool]:
    """(state of the conversion, whether the plain object is still served)"""
    with opened(server) as rt, rt.database.reading() as db:
        row = db.get(XetConversion, oid)
        return row.state if row else "", db.get(LfsObject, oid) is not None


def object_path(server: LiveServer, oid: str) -> Path:
    return server.home / "objects" / object_key(oid)


def seen(server: LiveServer, repo_id: str) -> list[object]:
    """What a plain reader sees of model.bin; nothing of it may ever change."""
    path = f"/{repo_id}/resolve/main/model.bin"
    status, headers, body = get(server, path, "ada")
    part_status, part_headers, part = get(server, path, "ada", Range="bytes=1000000-1234567")
    tail = get(server, path, "ada", Range="bytes=-77")
    same = ("etag", "content-length", "x-linked-etag", "x-linked-size", "x-repo-commit", "content-type")
    return [
        status,
        hashlib.sha256(body).hexdigest(),
        {name: headers.get(name) for name in same},
        (part_status, part_headers["content-range"], hashlib.sha256(part).hexdigest()),
        (tail[0], tail[2]),
        get(server, path, "ada", **{"If-None-Match": headers["etag"]})[0],
        get(server, path, "grace")[0],
    ]


def xet_hash(client: ClientFactory, repo_id: str) -> str:
    paths = {"repo_id": repo_id, "paths": ["model.bin"]}
    entry = client().call(("get_paths_info", paths))[0]
    return entry.partition("xet_hash='")[2].partition("'")[0]


@pytest.fixture
def plain(client: ClientFactory, repo_id: str) -> tuple[str, bytes]:
    """(a repository with a model.bin that was uploaded by LFS, its bytes)"""
    data = sample("bf16", 3 * MIB + 17, seed=next(_seeds))
    client(HF_HUB_DISABLE_XET="1").upload(repo_id, "model.bin", data)
    return repo_id, data


def test_readers_see_the_same_at_every_step(
    server: LiveServer, client: ClientFactory, plain: tuple[str, bytes]
) -> None:
    repo_id, data = plain
    oid = sha256(data)
    before = seen(server, repo_id)
    assert before[1] == oid
    assert xet_hash(client, repo_id) == ""
    with opened(server) as rt:
        with rt.database.writing() as db:
            db.execute(update(LfsObject).values(created_at=clock.now() - timedelta(hours=1)))
        assert has_work(rt)
    run([sys.executable, "-m", "llmos.app.convert"], server.env)
    assert state_of(server, oid) == ("converted", True)
    assert seen(server, repo_id) == before
    assert len(xet_hash(client, repo_id)) == 64
    assert client().download(repo_id, "model.bin") == data
    convert(server)
    assert state_of(server, oid) == ("converted", True), "the plain object is kept for a while"

    reader = object_path(server, oid).open("rb")
    convert(server, lfs_to_xet_undo_days=0)
    assert state_of(server, oid) == ("retired", False)
    assert seen(server, repo_id) == before
    assert object_path(server, oid).exists(), "a link or a download begun before must still end well"
    with opened(server) as rt:
        with rt.database.reading() as db:
            os.utime(object_path(server, oid), (1, 1))
            assert object_key(oid) not in plan_gc(db, rt, referenced_oids).stray_keys
        assert remove_retired(rt) == 0, "a day must pass"
        assert remove_retired(rt, after=NOW) >= len(data)
        assert remove_retired(rt, after=NOW) == 0
    assert not object_path(server, oid).exists()
    with reader:
        assert reader.read() == data
    assert state_of(server, oid) == ("", False)
    assert seen(server, repo_id) == before
    for reader_client in (client(), client(HF_HUB_DISABLE_XET="1")):
        assert reader_client.download(repo_id, "model.bin") == data
    convert(server)
    assert state_of(server, oid) == ("", False), "nothing is left to do"


def test_chunks_are_shared_with_xet_uploads(
    server: LiveServer, client: ClientFactory, plain: tuple[str, bytes]
) -> None:
    repo_id, data = plain
    convert(server)
    with opened(server) as rt, rt.database.reading() as db:
        before = sum(db.scalars(select(XetXorb.packed_bytes)))
    variant = data[: 2 * MIB] + b"changed" + data[2 * MIB :]
    client().upload(repo_id, "variant.bin", variant)
    with opened(server) as rt, rt.database.reading() as db:
        added = sum(db.scalars(select(XetXorb.packed_bytes))) - before
    assert 0 < added < 0.2 * len(data), "only the changed chunks are new"
    # The other way round: bytes that are there as chunks need not be sent again.
    client(HF_HUB_DISABLE_XET="1").call(("create_repo", {"repo_id": "lab/twin", "exist_ok": True}))
    client(HF_HUB_DISABLE_XET="1").upload("lab/twin", "model.bin", variant)
    convert(server)
    assert state_of(server, sha256(variant))[0] == "converted"
    assert xet_hash(client, "lab/twin")


def test_undo_serves_the_plain_object_again(
    server: LiveServer, client: ClientFactory, plain: tuple[str, bytes]
) -> None:
    repo_id, data = plain
    oid = sha256(data)
    before = seen(server, repo_id)
    convert(server)
    convert(server, lfs_to_xet_undo_days=0)
    assert state_of(server, oid) == ("retired", False)
    llmos = [sys.executable, "-m", "llmos.cli", "convert", "--json", "--undo"]
    done = json.loads(run([*llmos, oid], server.env).stdout)
    assert done["states"]["kept"]["size_bytes"] >= len(data)
    assert run([*llmos, "0" * 64], server.env, check=False).returncode == 1
    assert state_of(server, oid) == ("kept", True)
    assert seen(server, repo_id) == before
    assert xet_hash(client, repo_id) == ""
    convert(server)
    assert state_of(server, oid) == ("kept", True), "what was undone is not done again"


def test_uploaded_again_while_retired(
    server: LiveServer, client: ClientFactory, plain: tuple[str, bytes]
) -> None:
    _repo_id, data = plain
    oid = sha256(data)
    convert(server)
    convert(server, lfs_to_xet_undo_days=0)
    other = client(HF_HUB_DISABLE_XET="1")
    other.call(("create_repo", {"repo_id": f"lab/again-{oid[:8]}"}))
    other.upload(f"lab/again-{oid[:8]}", "model.bin", data)
    assert state_of(server, oid) == ("retired", True)
    with opened(server) as rt:
        remove_retired(rt, after=NOW)
    assert object_path(server, oid).exists()
    convert(server)
    assert state_of(server, oid) == ("converted", True)
    assert other.download(f"lab/again-{oid[:8]}", "model.bin") == data


def test_damaged_object_goes_into_quarantine(server: LiveServer, plain: tuple[str, bytes]) -> None:
    repo_id, data = plain
    oid = sha256(data)
    damaged = bytearray(data)
    damaged[MIB] ^= 1
    object_path(server, oid).write_bytes(damaged)
    convert(server)
    assert state_of(server, oid)[0] == "failed"
    status, _, body = get(server, f"/{repo_id}/resolve/main/model.bin", "ada")
    assert status == 404
    assert b"quarantine" in body


def test_no_answer_speaks_for_chunks_in_quarantine(server: LiveServer, plain: tuple[str, bytes]) -> None:
    repo_id, data = plain
    oid = sha256(data)
    convert(server)
    convert(server, lfs_to_xet_undo_days=0)
    assert state_of(server, oid) == ("retired", False)
    path, ada = f"/{repo_id}/resolve/main/model.bin", {"authorization": f"Bearer {server.tokens['ada']}"}
    with opened(server) as rt, rt.database.reading() as db:
        file = db.scalars(select(XetFile).where(XetFile.sha256 == oid)).one()
        xorb = db.get_one(XetXorb, xorbs_of(unpack_terms(file.terms))[0])
        stored = server.home / "objects" / xorb_key(xorb.xorb_hash, xorb.layout)
        content = bytearray(stored.read_bytes())
        content[len(content) // 2] ^= 1
        stored.write_bytes(content)
        assert scrub(rt, every=NOW).damaged == [xorb.xorb_hash]
    for method in ("HEAD", "GET"):
        answer = httpx.request(method, server.url + path, headers=ada)
        assert answer.status_code == 403, method
        assert "damaged" in answer.headers["x-error-message"], method


def test_damaged_chunks_keep_the_plain_object(server: LiveServer, plain: tuple[str, bytes]) -> None:
    repo_id, data = plain
    oid = sha256(data)
    before = seen(server, repo_id)
    convert(server)
    with opened(server) as rt, rt.database.reading() as db:
        file = db.scalars(select(XetFile).where(XetFile.sha256 == oid)).one()
        xorb = db.get_one(XetXorb, xorbs_of(unpack_terms(file.terms))[0])
        path = server.home / "objects" / xorb_key(xorb.xorb_hash, xorb.layout)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    convert(server, lfs_to_xet_undo_days=0)
    assert state_of(server, oid) == ("failed", True)
    assert seen(server, repo_id) == before


def test_settings_hold_it_back(server: LiveServer, plain: tuple[str, bytes]) -> None:
    oid = sha256(plain[1])
    for changed in (
        {"lfs_to_xet": "off"},
        {"storage_presign": "true"},
        {"lfs_to_xet_min_bytes": 4 * MIB},
        {"lfs_to_xet_free_bytes": 2**60},
    ):
        convert(server, **changed)
        assert state_of(server, oid) == ("", True), changed
    with opened(server) as rt:
        convert_all(rt)
    assert state_of(server, oid) == ("", True), "it has only just arrived"


@pytest.mark.slow
def test_kill_at_any_point(server: LiveServer, plain: tuple[str, bytes]) -> None:
    repo_id, data = plain
    oid = sha256(data)
    before = seen(server, repo_id)
    with opened(server) as rt, rt.database.writing() as db:
        db.execute(update(LfsObject).values(created_at=clock.now() - timedelta(hours=1)))
    known = _files(server)
    # At first slow enough to be met while it sends.
    for bytes_per_s, is_reached in (
        (MIB, lambda: any((server.home / "tmp").glob("convert-*"))),
        (0, lambda: _files(server) != known),
        (0, lambda: state_of(server, oid)[0] == "converted"),
    ):
        env = server.env | {"LLMOS_LFS_TO_XET_BYTES_PER_S": str(bytes_per_s)}
        process = subprocess.Popen([sys.executable, "-m", "llmos.app.convert"], env=env)
        deadline = time.monotonic() + 60
        while process.poll() is None and not is_reached():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert seen(server, repo_id) == before
    convert(server)
    assert state_of(server, oid) == ("converted", True)
    assert not list((server.home / "tmp").glob("convert-*"))
    assert seen(server, repo_id) == before
    with opened(server) as rt:
        assert scrub(rt, every=NOW).damaged == []


def _files(server: LiveServer) -> set[str]:
    with opened(server) as rt, rt.database.reading() as db:
        return set(db.scalars(select(XetFile.file_hash)))


def test_a_digest_that_is_only_said_opens_no_plain_object(
    server: LiveServer, client: ClientFactory, plain: tuple[str, bytes]
) -> None:
    repo_id, data = plain
    oid = sha256(data)
    client("grace").call(("create_repo", {"repo_id": f"grace/false-{oid[:8]}"}))
    other = sample("noise", len(data), seed=next(_seeds))
    client("grace").upload(f"grace/false-{oid[:8]}", "model.bin", other)
    with opened(server) as rt, rt.database.writing() as db:
        # As right after a shard that says so of a file too large to be hashed at once.
        row = db.scalars(select(RepoLfsClaim).where(RepoLfsClaim.oid == sha256(other))).one()
        db.execute(update(XetFile).where(XetFile.file_hash == row.xet_hash).values(sha256=None))
        repo, file_hash = row.repo_id, row.xet_hash
        db.add(RepoLfsClaim(repo_id=repo, oid=oid, size_bytes=len(data), xet_hash=file_hash))
    asked = {"operation": "download", "objects": [{"oid": oid, "size": len(data)}]}
    answer = _post(server, f"/grace/false-{oid[:8]}.git/info/lfs/objects/batch", "grace", asked)
    href = answer["objects"][0]["actions"]["download"]["href"].removeprefix(server.url)
    assert get(server, href, "grace")[2] != data
    assert seen(server, repo_id)[1] == oid


def _post(server: LiveServer, path: str, person: str, body: dict[str, Any]) -> Any:
    headers = {
        "Authorization": f"Bearer {server.tokens[person]}",
        "Content-Type": "application/vnd.git-lfs+json",
        "Accept": "application/vnd.git-lfs+json",
    }
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
