"""Routes of buckets: lists, batches, refusals."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from features.buckets.conftest import Buckets, add, copy
from features.storage.xet.conftest import make_file
from llmos.features.accounts.models import Namespace
from llmos.infra.runtime import Runtime

MADE = make_file(1)
SIZE = len(MADE.data)


def test_names_are_unique_without_case(buckets: Buckets) -> None:
    buckets.create("ada/Things")
    refused = buckets.api("POST", "me/things", json={})
    assert (refused.status_code, refused.json()["url"]) == (409, "http://testserver/buckets/ada/Things")
    buckets.create("lab/things")
    assert buckets.api("GET", "ADA/THINGS").json()["id"] == "ada/Things"


@pytest.mark.parametrize("name", ["ada/a--b", "ada/.x", "ada/x.git"])
def test_bad_names_are_refused(buckets: Buckets, name: str) -> None:
    assert buckets.api("POST", name, json={}).status_code == 400


def test_only_members_create(buckets: Buckets) -> None:
    assert buckets.api("POST", "ada/x", "grace", json={}).status_code == 403
    assert buckets.api("POST", "nobody/x", json={}).status_code == 403
    assert buckets.api("POST", "ada/x", "", json={}).status_code == 401
    assert buckets.api("POST", "ada/x", json={"visibility": "odd"}).status_code == 400


@pytest.mark.parametrize(
    ("method", "tail"),
    [
        ("GET", ""), ("DELETE", ""), ("PUT", "/settings"), ("GET", "/tree"), ("GET", "/tree/x"),
        ("POST", "/paths-info"), ("POST", "/batch"), ("GET", "/xet-read-token"), ("GET", "/xet-write-token"),
    ],
)  # fmt: skip
def test_private_bucket_is_as_good_as_none(buckets: Buckets, bucket: str, method: str, tail: str) -> None:
    body = {"json": {"paths": [], "private": True}} if method in ("PUT", "POST") else {}
    for name in (bucket, "ada/none"):
        answer = buckets.api(method, name + tail, "grace", **body)
        assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "RepoNotFound")
        assert buckets.api(method, name + tail, "", **body).status_code == 401


def test_public_bucket_is_read_only_to_others(buckets: Buckets) -> None:
    name = buckets.create("ada/open")
    buckets.bring(name, MADE, "a.txt")
    assert buckets.api("GET", f"{name}/tree", "").json()[0]["path"] == "a.txt"
    assert buckets.send("GET", f"/buckets/{name}/resolve/a.txt", "").content == MADE.data
    assert buckets.batch(name, {"type": "deleteFile", "path": "a.txt"}, person="grace").status_code == 403
    assert buckets.api("PUT", f"{name}/settings", "grace", json={"private": True}).status_code == 403
    assert buckets.api("DELETE", name, "grace").status_code == 403
    assert buckets.api("GET", f"{name}/xet-write-token", "grace").status_code == 403


def test_lists_show_what_may_be_seen(buckets: Buckets, bucket: str) -> None:
    for number in range(3):
        buckets.create(f"ada/open-{number}")
    names = [item["id"] for item in buckets.api("GET", "ada").json()]
    assert names == ["ada/open-0", "ada/open-1", "ada/open-2", bucket]
    assert [item["id"] for item in buckets.api("GET", "ada", "grace").json()] == names[:3]
    assert [item["id"] for item in buckets.api("GET", "me?search=N-1").json()] == ["ada/open-1"]
    assert buckets.api("GET", "me", "").status_code == 401
    assert buckets.api("GET", "nobody").status_code == 404
    first = buckets.api("GET", "ada?limit=3")
    following = buckets.send("GET", first.links["next"]["url"])
    assert [item["id"] for item in following.json()] == [bucket]
    assert "Link" not in following.headers


def test_tree_lists_by_string_prefix(buckets: Buckets, bucket: str) -> None:
    paths = ["logs.txt", "logs/a", "logs/b/c", "logs/b/d", "logs2/e", "ü/ÿ", "zz\U0001f600/x"]
    buckets.bring(bucket, MADE, *paths)
    assert buckets.paths(bucket) == sorted(paths)
    assert buckets.paths(bucket, "/tree") == ["logs.txt", "logs", "logs2", "zz\U0001f600", "ü"]
    assert buckets.paths(bucket, "/tree/logs") == ["logs.txt", "logs/a", "logs/b", "logs2"]
    assert buckets.paths(bucket, "/tree/logs%2F") == ["logs/a", "logs/b"]
    assert buckets.paths(bucket, "/tree/lo?recursive=true") == paths[:5]
    assert buckets.paths(bucket, "/tree/%C3%BC%2F") == ["ü/ÿ"]
    assert buckets.paths(bucket, "/tree/a%00b") == []
    assert buckets.api("GET", f"{bucket}/tree?cursor=forged").status_code == 400


@pytest.mark.parametrize("query", ["limit=1", "limit=2", "limit=1&recursive=true", "limit=3&recursive=true"])
def test_tree_pages_miss_nothing(buckets: Buckets, bucket: str, query: str) -> None:
    paths = [f"{folder}/{name}" for folder in "abc" for name in range(3)] + ["b", "b.txt"]
    buckets.bring(bucket, MADE, *paths)
    whole = buckets.paths(bucket, "/tree?recursive=true" if "recursive" in query else "/tree")
    url, seen = f"/api/buckets/{bucket}/tree?{query}", []
    while url:
        answer = buckets.send("GET", url)
        seen += [entry["path"] for entry in answer.json()]
        url = answer.links["next"]["url"] if "next" in answer.links else ""
    assert seen == whole


def test_batch_reports_each_failure(buckets: Buckets, bucket: str) -> None:
    buckets.bring(bucket, MADE, "old")
    lines = [
        add("new", MADE.file_hash),
        add("../up", MADE.file_hash),
        add("none", "0" * 64),
        add("odd", "xyz"),
        {"type": "deleteFile", "path": "missing"},
        {"type": "deleteFile", "path": "old"},
        add("old", MADE.file_hash),
        add("x" * 1025, MADE.file_hash),
        copy("twice", MADE.file_hash, "bucket", bucket),
    ]
    answer = buckets.batch(bucket, *lines)
    report = answer.json()
    assert (answer.status_code, report["success"]) == (200, False)
    assert (report["processed"], report["succeeded"]) == (9, 4)
    assert [item["path"] for item in report["failed"]] == ["../up", "none", "odd", "missing", "x" * 1025]
    assert buckets.paths(bucket) == ["new", "old", "twice"]
    info = buckets.api("GET", bucket).json()
    assert (info["totalFiles"], info["size"]) == (3, 3 * SIZE)
    found = buckets.api("POST", f"{bucket}/paths-info", json={"paths": ["new", "none", "ne", "a\0b"]}).json()
    assert [(item["path"], item["mtime"]) for item in found] == [("new", "2023-11-14T22:13:20.123Z")]


def test_a_file_put_and_deleted_in_one_batch_leaves_nothing(buckets: Buckets, bucket: str) -> None:
    buckets.bring(bucket, MADE)
    put, drop = add("a", MADE.file_hash), {"type": "deleteFile", "path": "a"}
    assert buckets.batch(bucket, put, drop, put, put, drop).json()["success"] is True
    info = buckets.api("GET", bucket).json()
    assert (buckets.paths(bucket), info["totalFiles"], info["size"]) == ([], 0, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{", b'{"type": "addFile"}', b'{"type": "odd", "path": "x"}',
        b'{"type": "addFile", "path": "x", "xetHash": 5}',
        b'{"type": "addFile", "path": "x", "xetHash": "0", "mtime": "now"}',
        b'{"type": "addFile", "path": "x", "xetHash": "0", "mtime": 1e300}',
        b'{"type": "deleteFile", "path": "a\\u0000b"}',
        b'{"type": "copyFile", "path": "x", "xetHash": "0"}',
        b'{"type": "deleteFile", "path": "x"}\n' * 1001,
    ],
)  # fmt: skip
def test_malformed_batches_are_refused_whole(buckets: Buckets, bucket: str, body: bytes) -> None:
    assert buckets.api("POST", f"{bucket}/batch", content=body).status_code == 400


def test_quota_counts_buckets(rt: Runtime, buckets: Buckets, bucket: str) -> None:
    with rt.database.writing() as db:
        db.execute(update(Namespace).where(Namespace.name == "ada").values(quota_bytes=2 * SIZE))
    buckets.bring(bucket, MADE, "a")
    refused = buckets.batch(bucket, add("b", MADE.file_hash), add("c", MADE.file_hash))
    assert refused.status_code == 413
    assert buckets.paths(bucket) == ["a"]
    assert buckets.batch(bucket, add("b", MADE.file_hash)).status_code == 200
    assert buckets.api("GET", f"{bucket}/xet-write-token").status_code == 413


def test_move_keeps_the_files(buckets: Buckets, bucket: str) -> None:
    buckets.bring(bucket, MADE, "a")
    body = {"fromRepo": bucket, "toRepo": "lab/moved", "type": "bucket"}
    assert buckets.send("POST", "/api/repos/move", "grace", json=body).status_code == 404
    buckets.create("lab/taken")
    taken = buckets.send("POST", "/api/repos/move", json=body | {"toRepo": "lab/Taken"})
    assert (taken.status_code, taken.json()["url"]) == (409, "http://testserver/buckets/lab/taken")
    assert buckets.send("POST", "/api/repos/move", json=body).status_code == 200
    assert buckets.api("GET", bucket).headers["location"].endswith("/api/buckets/lab/moved")
    assert buckets.send("GET", "/buckets/lab/moved/resolve/a").content == MADE.data
    foreign = body | {"fromRepo": "lab/moved", "toRepo": "grace/moved"}
    assert buckets.send("POST", "/api/repos/move", json=foreign).status_code == 403


def test_head_tells_the_way_to_the_chunks(buckets: Buckets, bucket: str) -> None:
    buckets.bring(bucket, MADE, "page.html")
    head = buckets.send("HEAD", f"/buckets/{bucket}/resolve/page.html")
    assert head.headers["X-Xet-Hash"] == MADE.file_hash
    assert head.headers["Content-Length"] == head.headers["X-Linked-Size"] == str(SIZE)
    assert head.links["xet-auth"]["url"] == f"http://testserver/api/buckets/{bucket}/xet-read-token"
    assert "html" not in head.headers["Content-Type"]
    assert buckets.send("GET", head.links["xet-auth"]["url"]).headers["X-Xet-Access-Token"]


def test_pages(buckets: Buckets, bucket: str) -> None:
    assert "hf sync" in buckets.send("GET", f"/buckets/{bucket}").text
    buckets.bring(bucket, MADE, "logs/a b.txt", "top.txt")
    top = buckets.send("GET", f"/buckets/{bucket}").text
    assert f'href="/buckets/{bucket}/tree/logs"' in top
    inner = buckets.send("GET", f"/buckets/{bucket}/tree/logs").text
    assert f'href="/buckets/{bucket}/resolve/logs/a%20b.txt"' in inner
    assert buckets.send("GET", f"/buckets/{bucket}/tree/none").status_code == 404
    assert buckets.send("GET", f"/buckets/{bucket}", "grace").status_code == 404
    assert bucket in buckets.send("GET", "/buckets/ada").text
    assert bucket not in buckets.send("GET", "/buckets/ada", "grace").text
    assert "存储桶" in buckets.send("GET", f"/buckets/{bucket}", headers={"Accept-Language": "zh"}).text


@pytest.mark.parametrize("name", ["raw", "resolve", "tree", "events", "xet-read-token"])
def test_names_that_are_words_of_addresses(buckets: Buckets, name: str) -> None:
    bucket = buckets.create(f"ada/{name}")
    buckets.bring(bucket, MADE, "main/resolve/x")
    assert buckets.send("GET", f"/buckets/{bucket}/resolve/main/resolve/x").content == MADE.data
    assert buckets.paths(bucket, "/tree/main%2F") == ["main/resolve"]
    assert "resolve" in buckets.send("GET", f"/buckets/{bucket}/tree/main").text
