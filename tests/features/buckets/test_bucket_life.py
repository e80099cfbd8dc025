"""Buckets that move, go and come back; forms in a browser; the feed of changes; recounting."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import func, select, update

from features.buckets.conftest import Buckets, add
from features.storage.xet.conftest import make_file
from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.features.buckets.changes import (
    KEEP_CHANGES,
    Mark,
    forget_old_changes,
    last_mark,
    list_changes,
    mark_since,
    parse_mark,
)
from llmos.features.buckets.deletion import KEEP_DELETED, purge_deleted_buckets
from llmos.features.buckets.models import Bucket, BucketChange, BucketFile
from llmos.features.buckets.repair import find_bucket_problems
from llmos.features.storage.xet.models import XetXorb
from llmos.infra.runtime import Runtime

MADE = make_file(1)
SIZE = len(MADE.data)
ORIGIN = {"origin": "http://testserver", "accept": "text/html"}


def post(buckets: Buckets, where: str, person: str = "ada", /, **fields: object) -> int:
    return int(buckets.send("POST", where, person, data=fields, headers=ORIGIN).status_code)


def page(buckets: Buckets, path: str, person: str = "ada") -> str:
    answer = buckets.send("GET", path, person, headers={"accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def object_id(rt: Runtime, name: str) -> str:
    with rt.database.reading() as db:
        return db.scalars(select(Bucket.object_id).where(Bucket.name == name)).one()


def test_deleted_bucket_comes_back(rt: Runtime, buckets: Buckets, bucket: str) -> None:
    buckets.bring(bucket, MADE, "a.txt")
    token = buckets.token(bucket, "read")
    assert buckets.api("DELETE", bucket).status_code == 200
    for path in ("", "/tree", "/xet-read-token"):
        assert buckets.api("GET", bucket + path).status_code == 404
    ghost = object_id(rt, "things")
    assert buckets.api("GET", f"ada/~{ghost}").status_code == 404
    assert buckets.api("GET", "ada").json() == []
    # A token from before opens nothing any more.
    read = buckets.http.get(
        f"/cas/v1/reconstructions/{MADE.file_hash}", headers={"authorization": f"Bearer {token}"}
    )
    assert read.status_code == 404
    assert ghost in page(buckets, "/buckets/ada/-/deleted")
    assert post(buckets, "/buckets/ada/-/deleted", "grace", object_id=ghost) == 404
    taken = buckets.create("ada/Things")
    assert post(buckets, "/buckets/ada/-/deleted", object_id=ghost) == 409
    buckets.api("PUT", f"{taken}/settings", json={"private": True})
    assert buckets.send("POST", "/api/repos/move", json={
        "fromRepo": taken, "toRepo": "ada/elsewhere", "type": "bucket"}).status_code == 200  # fmt: skip
    assert post(buckets, "/buckets/ada/-/deleted", object_id=ghost) == 303
    assert buckets.send("GET", f"/buckets/{bucket}/resolve/a.txt").content == MADE.data
    assert buckets.api("GET", bucket).json()["size"] == SIZE


def test_purged_after_seven_days(rt: Runtime, buckets: Buckets, bucket: str) -> None:
    buckets.bring(bucket, MADE, "a.txt")
    buckets.api("DELETE", bucket)
    ghost = object_id(rt, "things")
    assert purge_deleted_buckets(rt) == 0
    with rt.database.writing() as db:
        db.execute(update(Bucket).values(deleted_at=clock.now() - KEEP_DELETED - timedelta(minutes=1)))
    assert purge_deleted_buckets(rt) == 1
    with rt.database.reading() as db:
        assert db.scalar(select(func.count()).select_from(BucketFile)) == 0
    assert post(buckets, "/buckets/ada/-/deleted", object_id=ghost) == 404


def test_old_name_leads_to_the_new_one(buckets: Buckets, bucket: str) -> None:
    buckets.bring(bucket, MADE, "a.txt")
    assert post(buckets, f"/buckets/{bucket}/settings", action="rename", owner="lab", name="moved") == 303
    for path in (f"/api/buckets/{bucket}", f"/buckets/{bucket}/resolve/a.txt", f"/buckets/{bucket}"):
        answer = buckets.send("GET", path, follow_redirects=False)
        assert answer.status_code == 307
        assert answer.headers["location"] == path.replace(bucket, "lab/moved")
    followed = buckets.send("GET", f"/buckets/{bucket}/resolve/a.txt", follow_redirects=True)
    assert followed.content == MADE.data
    # Who may not see it learns nothing of the move.
    assert buckets.api("GET", bucket, "grace").status_code == 404
    buckets.create(bucket)
    assert buckets.api("GET", bucket).json()["totalFiles"] == 0


def test_forms(rt: Runtime, buckets: Buckets) -> None:
    assert "/buckets/ada/-/new" in page(buckets, "/buckets/ada")
    assert "/-/new" not in page(buckets, "/buckets/ada", "grace")
    assert post(buckets, "/buckets/ada/-/new", owner="ada", name="a--b", visibility="private") == 400
    assert post(buckets, "/buckets/ada/-/new", "grace", owner="ada", name="x", visibility="public") == 400
    assert post(buckets, "/buckets/ada/-/new", owner="ada", name="web", visibility="public") == 303
    data = bytes(range(256)) * 1000
    files = [("files", ("big.bin", data)), ("files", ("empty", b"")), ("files", ("also.bin", data))]
    where = "/buckets/ada/web/upload"
    for person, status in (("grace", 403), ("ada", 303)):
        sent = buckets.send("POST", where, person, data={"folder": "logs/1"}, files=files, headers=ORIGIN,
                            follow_redirects=False)  # fmt: skip
        assert sent.status_code == status, sent.text
    assert buckets.paths("ada/web") == ["logs/1/also.bin", "logs/1/big.bin", "logs/1/empty"]
    assert buckets.send("GET", "/buckets/ada/web/resolve/logs/1/big.bin").content == data
    shown = page(buckets, "/buckets/ada/web/tree/logs/1")
    assert 'name="path" value="logs/1/empty"' in shown
    assert 'name="path"' not in page(buckets, "/buckets/ada/web/tree/logs/1", "grace")
    assert post(buckets, "/buckets/ada/web/delete-files", "grace", path="logs/1/empty") == 403
    assert post(buckets, "/buckets/ada/web/delete-files", path=["logs/1/empty", "none"]) == 303
    assert len(buckets.paths("ada/web")) == 2
    settings = "/buckets/ada/web/settings"
    assert buckets.send("GET", settings, "grace").status_code == 403
    assert post(buckets, settings, "grace", action="delete", confirm="ada/web") == 403
    assert post(buckets, settings, action="delete", confirm="web") == 400
    assert post(buckets, settings, action="visibility", visibility="private") == 303
    assert buckets.send("GET", settings, "grace").status_code == 404
    assert post(buckets, settings, action="delete", confirm="ada/web") == 303
    assert "ada/web" in page(buckets, "/buckets/ada/-/deleted")


def stored_bytes(rt: Runtime) -> int:
    with rt.database.reading() as db:
        return db.scalar(select(func.sum(XetXorb.raw_bytes))) or 0


def test_a_browser_sends_what_is_stored_once(rt: Runtime, buckets: Buckets, bucket: str) -> None:
    data = np.random.default_rng(1).bytes(2_000_000)

    def send(name: str, content: bytes) -> int:
        before = stored_bytes(rt)
        sent = buckets.send("POST", f"/buckets/{bucket}/upload", files=[("files", (name, content))],
                            headers=ORIGIN, follow_redirects=False)  # fmt: skip
        assert sent.status_code == 303, sent.text
        assert buckets.send("GET", f"/buckets/{bucket}/resolve/{name}").content == content
        return stored_bytes(rt) - before

    assert send("a.bin", data) == len(data)
    assert send("b.bin", data) == 0
    changed = data[:1_000_000] + b"changed" + data[1_000_000:]
    assert 0 < send("c.bin", changed) <= 3 * 131_072
    assert 0 < send("a.bin", b"put in front" + data) <= 2 * 131_072
    assert send("twice.bin", np.random.default_rng(2).bytes(500_000) * 3) < 2 * 500_000
    with rt.database.reading() as db:
        hashes = set(db.scalars(select(BucketFile.xet_hash)))
    other = buckets.create("grace/things", "grace")
    buckets.send("POST", f"/buckets/{other}/upload", "grace", files=[("files", ("a.bin", changed))],
                 headers=ORIGIN, follow_redirects=False)  # fmt: skip
    assert buckets.send("GET", f"/buckets/{other}/resolve/a.bin", "grace").content == changed
    with rt.database.reading() as db:
        assert set(db.scalars(select(BucketFile.xet_hash))) == hashes, "cut the same in every namespace"


def bucket_id(rt: Runtime) -> int:
    with rt.database.reading() as db:
        return db.scalars(select(Bucket.id)).one()


def test_changes_are_told_in_their_order(rt: Runtime, buckets: Buckets, bucket: str) -> None:
    number = bucket_id(rt)
    with rt.database.reading() as db:
        start = last_mark(db, number)
    buckets.bring(bucket, MADE, "a", "b")
    buckets.batch(bucket, add("a", MADE.file_hash), {"type": "deleteFile", "path": "b"})
    with rt.database.reading() as db:
        found, mark = list_changes(db, number, start)
        assert [(change.op, change.path) for change in found] == [
            ("add", "a"), ("add", "b"), ("update", "a"), ("delete", "b"),
        ]  # fmt: skip
        assert found[0].xet_hash == MADE.file_hash
        assert list(list_changes(db, number, mark)[0]) == []
        assert parse_mark(mark.encode()).change_id == mark.change_id
        since = mark_since(db, number, found[0].changed_at)
        assert len(list_changes(db, number, since)[0]) == 4
        later = mark_since(db, number, clock.now() + timedelta(minutes=1))
        assert later.change_id == mark.change_id
    with rt.database.writing() as db:
        old = clock.now() - KEEP_CHANGES - timedelta(minutes=1)
        db.execute(update(BucketChange).where(BucketChange.op == "add").values(changed_at=old))
    forget_old_changes(rt)
    with rt.database.reading() as db:
        assert [change.op for change in list_changes(db, number, start)[0]] == ["update", "delete"]
    assert Mark(1, old).is_too_old
    assert not mark.is_too_old


@pytest.mark.parametrize("text", ["", "1", "1-", "-1", "a-1", "1-1-1", "9" * 20 + "-1", "１-1"])
def test_foreign_cursors_are_refused(buckets: Buckets, bucket: str, text: str) -> None:
    with pytest.raises(BadRequest):
        parse_mark(text)
    if text:
        assert buckets.api("GET", f"{bucket}/events", params={"cursor": text}).status_code == 400


def test_feed_says_when_the_place_is_lost(buckets: Buckets, bucket: str) -> None:
    answer = buckets.api("GET", f"{bucket}/events", params={"cursor": "1000-1"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("event: reset\n")
    assert buckets.api("GET", f"{bucket}/events", params={"since": "soon"}).status_code == 400
    old = buckets.api("GET", f"{bucket}/events", params={"since": "0001-01-01T00:00:00+23:00"})
    assert old.status_code == 400
    assert buckets.api("GET", f"{bucket}/events", "grace").status_code == 404


def test_doctor_counts_again(rt: Runtime, buckets: Buckets, bucket: str) -> None:
    buckets.bring(bucket, MADE, "a", "b")
    assert list(find_bucket_problems(rt, repair=True)) == []
    with rt.database.writing() as db:
        db.execute(update(Bucket).values(file_count=7, size_bytes=1))
    found = list(find_bucket_problems(rt, repair=False))
    assert [(item.subject, item.mended) for item in found] == [(bucket, False)]
    assert [item.mended for item in find_bucket_problems(rt, repair=True)] == [True]
    assert list(find_bucket_problems(rt, repair=False)) == []
    assert buckets.api("GET", bucket).json()["size"] == 2 * SIZE
