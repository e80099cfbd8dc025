"""An instance whose large objects lie in a bucket, used by the official clients."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from kit.programs import client_env, run, run_python
from kit.server import LiveServer
from s3.conftest import S3
from xet_contract.relay import relaying

MIB = 1024 * 1024
_numbers = itertools.count(1)

_ROUND_TRIP = """
import json, sys
from huggingface_hub import HfApi, hf_hub_download
repo, path = sys.argv[1:]
api = HfApi()
api.create_repo(repo, private=True)
api.upload_file(repo_id=repo, path_in_repo="weights.bin", path_or_fileobj=path)
back = hf_hub_download(repo, "weights.bin")
print(json.dumps({"same": open(back, "rb").read() == open(path, "rb").read(),
                  "sha256": api.get_paths_info(repo, ["weights.bin"])[0].lfs.sha256}))
"""
_DOWNLOAD = """
import hashlib, json, sys
from huggingface_hub import hf_hub_download
print(json.dumps(hashlib.sha256(open(hf_hub_download(*sys.argv[1:]), "rb").read()).hexdigest()))
"""


def noise(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def round_trip(server: LiveServer, folder: Path, data: bytes, **extra: str) -> tuple[str, dict[str, Any]]:
    """Upload and download by the official client in a process of its own."""
    repo = f"ada/s3-{next(_numbers)}"
    source = folder / f"source-{next(_numbers)}"
    source.write_bytes(data)
    home = folder / f"home-{next(_numbers)}"
    home.mkdir()
    return repo, run_python(_ROUND_TRIP, client_env(server, home, **extra), repo, str(source))


@pytest.mark.parametrize("is_xet", [True, False], ids=["xet", "lfs"])
def test_the_official_client_goes_both_ways(
    s3: S3, s3_instance: LiveServer, tmp_path: Path, is_xet: bool
) -> None:
    data = noise(12 * MIB, seed=is_xet)
    extra = {} if is_xet else {"HF_HUB_DISABLE_XET": "1"}
    repo, result = round_trip(s3_instance, tmp_path, data, **extra)
    assert result == {"same": True, "sha256": hashlib.sha256(data).hexdigest()}
    assert any("/xorbs/" in key if is_xet else "/lfs/" in key for key in s3.keys("plain/"))
    assert not list((s3_instance.home / "tmp").iterdir()), "nothing is left on this machine"
    url = f"{s3_instance.url}/{repo}/resolve/main/weights.bin"
    headers = {"Authorization": f"Bearer {s3_instance.tokens['ada']}"}
    for first, last in ((0, 99), (5 * MIB, 5 * MIB + 1_500_000), (len(data) - 1, len(data) + 9)):
        answer = httpx.get(url, headers={**headers, "Range": f"bytes={first}-{last}"})
        assert answer.status_code == 206
        assert answer.content == data[first : last + 1]
    assert httpx.get(url, headers=headers).content == data


def test_git_lfs_goes_both_ways(s3_instance: LiveServer, presigning: LiveServer, tmp_path: Path) -> None:
    for number, server in enumerate((s3_instance, presigning)):
        folder = tmp_path / str(number)
        folder.mkdir()
        env = client_env(server, folder) | {"GIT_AUTHOR_NAME": "Ada", "GIT_COMMITTER_NAME": "Ada"}
        env |= {"GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_COMMITTER_EMAIL": "ada@example.org"}
        _create(server, "git-lfs-here")
        url = server.url.replace("://", f"://ada:{server.tokens['ada']}@") + "/ada/git-lfs-here"
        run(["git", "lfs", "install", "--skip-repo"], env, folder)
        run(["git", "clone", "-q", url, "work"], env, folder)
        data = noise(3 * MIB, seed=7)
        (folder / "work" / "model.bin").write_bytes(data)
        for command in ("lfs track *.bin", "add .", "commit -qm Weights", "push -q origin HEAD:main"):
            run(["git", *command.split(" ", 2 if command.startswith("commit") else -1)], env, folder / "work")
        run(["git", "clone", "-q", url, "again"], env, folder)
        assert (folder / "again" / "model.bin").read_bytes() == data


def _create(server: LiveServer, name: str, **options: object) -> None:
    headers = {"Authorization": f"Bearer {server.tokens['ada']}"}
    httpx.post(
        f"{server.url}/api/repos/create", json={"name": name, **options}, headers=headers
    ).raise_for_status()


def test_downloads_go_straight_to_the_bucket(s3: S3, presigning: LiveServer, tmp_path: Path) -> None:
    data = noise(11 * MIB, seed=3)  # above the limit of one part: a multipart upload
    repo, result = round_trip(presigning, tmp_path, data, HF_HUB_DISABLE_XET="1")
    assert result["same"]
    url = f"{presigning.url}/{repo}/resolve/main/weights.bin"
    headers = {"Authorization": f"Bearer {presigning.tokens['ada']}"}
    head = httpx.head(url, headers=headers)
    assert head.status_code == 200, "the client reads sizes and hashes off the first answer"
    assert int(head.headers["content-length"]) == len(data)
    answer = httpx.get(url, headers=headers)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith(s3.url)
    assert "hf_" not in answer.headers["location"]
    assert answer.headers["x-linked-etag"] == f'"{result["sha256"]}"'
    assert "no-store" in answer.headers["cache-control"]
    part = httpx.get(answer.headers["location"], headers={"Range": "bytes=10-19"})
    assert part.content == data[10:20]
    named = httpx.get(f"{url}?download=true", headers=headers)
    assert named.status_code == 200, "a browser's download keeps its file name"
    assert "weights.bin" in named.headers["content-disposition"]
    assert httpx.get(url).status_code == 401
    home = tmp_path / "other"
    home.mkdir()
    env = client_env(presigning, home, HF_HUB_DISABLE_XET="1")
    assert run_python(_DOWNLOAD, env, repo, "weights.bin") == result["sha256"]


def test_parts_come_in_any_order_and_lie_in_the_bucket_as_one(s3: S3, presigning: LiveServer) -> None:
    _create(presigning, "in-parts")
    data = noise(12 * MIB + 5, seed=21)
    oid = hashlib.sha256(data).hexdigest()
    with httpx.Client(base_url=presigning.url, auth=("ada", presigning.tokens["ada"])) as http:
        asked = {
            "operation": "upload",
            "transfers": ["multipart"],
            "objects": [{"oid": oid, "size": len(data)}],
        }
        batch = http.post("/ada/in-parts.git/info/lfs/objects/batch", json=asked).json()
        upload = batch["objects"][0]["actions"]["upload"]
        size = int(upload["header"].pop("chunk_size"))
        links = {int(number): link for number, link in upload["header"].items() if number.isdecimal()}
        assert (batch["transfer"], size, sorted(links)) == ("multipart", 5 * MIB, [1, 2, 3])

        def put(number: int, content: bytes) -> dict[str, object]:
            answer = httpx.put(links[number], content=content)
            assert answer.status_code == 200, answer.text
            return {"partNumber": number, "etag": answer.headers["etag"]}

        cut = {number: data[(number - 1) * size : number * size] for number in links}
        put(2, bytes(size))  # sent wrongly at first
        parts = [put(number, cut[number]) for number in (3, 1)]
        early = httpx.post(upload["href"], json={"oid": oid, "parts": parts})
        assert (early.status_code, "part 2" in early.text) == (400, True), early.text
        parts.append(put(2, cut[2]))
        assert not [key for key in s3.keys("signed/lfs/") if oid in key]
        for _ in range(2):  # a client that missed the answer asks again
            httpx.post(upload["href"], json={"oid": oid, "parts": parts}).raise_for_status()
        assert [key for key in s3.keys("signed/lfs/") if oid in key]
        again = http.post("/ada/in-parts.git/info/lfs/objects/batch", json=asked | {"operation": "download"})
        link = again.json()["objects"][0]["actions"]["download"]
        assert httpx.get(link["href"], headers=link.get("header"), follow_redirects=True).content == data


def test_the_client_puts_chunks_straight_into_the_bucket(
    s3: S3, presigning: LiveServer, tmp_path: Path
) -> None:
    data = noise(70 * MIB, seed=5)
    with relaying(presigning.port) as relay:
        _, result = round_trip(presigning, tmp_path, data, HF_ENDPOINT=relay.url)
    assert result == {"same": True, "sha256": hashlib.sha256(data).hexdigest()}
    assert relay.seen["xorb-grants"] >= 2
    assert relay.seen["xorbs"] == 0, "no chunk passed through the server"
    assert s3.keys("signed/xorbs/")
    assert not s3.keys("signed/incoming/")


def test_garbage_is_collected_from_the_bucket(s3: S3, s3_instance: LiveServer, tmp_path: Path) -> None:
    from datetime import timedelta

    from sqlalchemy import update

    from llmos.core import clock
    from llmos.features.repos.claims import referenced_oids
    from llmos.features.storage.gc import collect, plan_gc
    from llmos.features.storage.models import LfsObject
    from llmos.features.storage.objects import object_key
    from llmos.infra.runtime import open_runtime
    from llmos.infra.settings import Settings

    data, kept = noise(MIB + 1, seed=11), noise(MIB + 2, seed=12)
    repo, result = round_trip(s3_instance, tmp_path, data, HF_HUB_DISABLE_XET="1")
    _, other = round_trip(s3_instance, tmp_path, kept, HF_HUB_DISABLE_XET="1")
    keys = [f"plain/{object_key(item['sha256'])}" for item in (result, other)]
    assert set(keys) <= set(s3.keys("plain/lfs"))
    names = ("STORAGE_URL", "STORAGE_ENDPOINT", "STORAGE_ACCESS_KEY", "STORAGE_SECRET_KEY", "DATABASE_URL")
    given = s3_instance.env
    settings = {name.lower(): given[f"LLMOS_{name}"] for name in names if f"LLMOS_{name}" in given}
    rt = open_runtime(Settings(home=s3_instance.home, **settings))
    with rt.database.writing() as db:
        from sqlalchemy import select

        from llmos.features.repos.claims import release_claims
        from llmos.features.repos.models import Repo

        release_claims(db, db.scalars(select(Repo).where(Repo.name == repo.split("/")[1])).unique().one())
        db.execute(update(LfsObject).values(touched_at=clock.now() - timedelta(days=40)))
    with rt.database.reading() as db:
        plan = plan_gc(db, rt, referenced_oids)
    assert plan.oids == [result["sha256"]]
    assert collect(rt, plan, referenced_oids).object_count == 1
    left = s3.keys("plain/lfs")
    assert keys[0] not in left
    assert keys[1] in left
    rt.close()
