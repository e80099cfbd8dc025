"""Large objects: durable before they are known, removed only when nobody uses them."""

import asyncio
import hashlib
import os
import time
from datetime import timedelta

import pytest

from llmos.app.tasks import periodic_tasks
from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, Unprocessable
from llmos.features.storage.gc import clean_tmp, collect, plan_gc
from llmos.features.storage.models import LfsObject, MultipartUpload
from llmos.features.storage.multipart import (
    complete_upload,
    drop_expired_uploads,
    drop_upload,
    plan_parts,
    receive_part,
    start_upload,
)
from llmos.features.storage.objects import (
    Quarantined,
    get_lfs_object,
    object_key,
    put_lfs_object,
    read_object,
)

OLD = timedelta(days=40)


def put(rt, data):
    oid = hashlib.sha256(data).hexdigest()
    path = rt.settings.tmp_root / f"put-{oid[:8]}"
    path.write_bytes(data)
    put_lfs_object(rt, path, oid, len(data), sha256=oid)
    return oid


def age(rt, oid):
    with rt.database.writing() as db:
        db.get(LfsObject, oid).touched_at = clock.now() - OLD


def nobody(_db, _oids):
    return set()


def everybody(_db, oids):
    return set(oids)


def test_an_object_can_be_read_back(rt):
    oid = put(rt, b"weights")
    with rt.database.reading() as db:
        found = get_lfs_object(db, oid)
        assert read_object(rt, found) == b"weights"
        assert read_object(rt, found, 2, 4) == b"ig"


def test_wrong_bytes_are_refused(rt):
    path = rt.settings.tmp_root / "x"
    path.write_bytes(b"x")
    with pytest.raises(Unprocessable):
        put_lfs_object(rt, path, "0" * 64, 1, sha256=hashlib.sha256(b"x").hexdigest())


def test_lost_bytes_come_back_with_the_next_upload(rt):
    oid = put(rt, b"weights")
    rt.objects.delete(object_key(oid))
    put(rt, b"weights")
    assert rt.objects.head(object_key(oid)) == 7


def test_a_quarantined_object_is_unknown_and_not_accepted_again(rt):
    oid = put(rt, b"malware")
    with rt.database.writing() as db:
        db.get(LfsObject, oid).quarantined_at = clock.now()
    with rt.database.reading() as db:
        assert get_lfs_object(db, oid) is None
    with pytest.raises(Quarantined):
        put(rt, b"malware")


def test_collection_takes_only_old_unused_objects(rt):
    young, old = put(rt, b"young"), put(rt, b"old")
    age(rt, old)
    with rt.database.reading() as db:
        assert plan_gc(db, rt, everybody).oids == []
        plan = plan_gc(db, rt, nobody)
    assert (plan.oids, plan.size_bytes) == ([old], 3)
    assert rt.objects.head(object_key(old)) == 3, "a plan removes nothing"
    assert collect(rt, plan, nobody).object_count == 1
    assert rt.objects.head(object_key(old)) is None
    assert rt.objects.head(object_key(young)) == 5


def test_an_object_used_again_after_the_plan_stays(rt):
    claimed, uploaded = put(rt, b"claimed"), put(rt, b"uploaded")
    age(rt, claimed)
    age(rt, uploaded)
    with rt.database.reading() as db:
        plan = plan_gc(db, rt, nobody)
    put(rt, b"uploaded")
    result = collect(rt, plan, lambda _db, oids: {oid for oid in oids if oid == claimed})
    assert result.object_count == 0
    assert rt.objects.head(object_key(claimed)) is not None
    assert rt.objects.head(object_key(uploaded)) is not None


def test_bytes_without_a_row_are_swept_when_old(rt):
    key = object_key("a" * 64)
    rt.objects.put_bytes(key, b"stray")
    with rt.database.reading() as db:
        assert plan_gc(db, rt, nobody).stray_keys == []
    old = time.time() - 2 * 24 * 3600
    os.utime(rt.objects.local_path(key), (old, old))
    with rt.database.reading() as db:
        plan = plan_gc(db, rt, nobody)
    assert plan.stray_keys == [key]
    assert collect(rt, plan, nobody).stray_count == 1
    assert rt.objects.head(key) is None


def test_the_worker_leaves_bytes_without_a_row_to_somebody_who_looks(rt):
    """With a wrong or an older database they may be all there is."""
    key, unused = object_key("a" * 64), put(rt, b"unused")
    rt.objects.put_bytes(key, b"stray")
    os.utime(rt.objects.local_path(key), (1, 1))
    age(rt, unused)
    (task,) = [task for task in periodic_tasks() if task.name == "remove large objects that nobody uses"]
    task.run.task(rt)
    assert rt.objects.head(object_key(unused)) is None
    assert rt.objects.head(key) == 5


def test_old_temporary_files_are_removed(rt):
    tmp = rt.settings.tmp_root
    for name, hours in (("young", 1), ("old", 30)):
        (tmp / name).write_bytes(b"x")
        at = time.time() - hours * 3600
        os.utime(tmp / name, (at, at))
    assert clean_tmp(rt) == 1
    assert (tmp / "young").exists()


def test_parts_cover_the_whole_and_are_never_too_many():
    plan = plan_parts(25, 10)
    assert [(plan.offset(n), plan.length(n)) for n in range(1, plan.count + 1)] == [
        (0, 10),
        (10, 10),
        (20, 5),
    ]
    assert plan_parts(10**15, 10).count <= 10_000


def body(data):
    """An ASGI receive that delivers `data` in two messages."""
    half = len(data) // 2
    messages = [
        {"type": "http.request", "body": data[:half], "more_body": True},
        {"type": "http.request", "body": data[half:], "more_body": False},
    ]

    async def receive():
        return messages.pop(0)

    return receive


DATA = os.urandom(2500)


@pytest.fixture
def upload(rt) -> MultipartUpload:
    with rt.database.writing() as db:
        return start_upload(db, hashlib.sha256(DATA).hexdigest(), len(DATA), 1000, 1)


def send(rt, upload, number, data):
    return asyncio.run(receive_part(rt, upload, number, body(data)))


def test_parts_in_any_order_become_the_object(rt, upload):
    etags = {
        number: send(rt, upload, number, DATA[(number - 1) * 1000 : number * 1000]) for number in (3, 1, 2)
    }
    complete_upload(rt, upload, {number: f'"{etag}"' for number, etag in etags.items()})
    drop_upload(rt, upload)
    assert rt.objects.read(object_key(upload.oid)) == DATA
    assert list((rt.settings.tmp_root / "multipart").iterdir()) == []


def test_missing_and_wrong_parts_are_named_and_can_be_mended(rt, upload):
    etags = {number: send(rt, upload, number, DATA[(number - 1) * 1000 : number * 1000]) for number in (1, 3)}
    with pytest.raises(BadRequest, match="part 2 of 3"):
        complete_upload(rt, upload, etags)
    etags[2] = send(rt, upload, 2, DATA[1000:2000])
    with pytest.raises(BadRequest, match="etag of part 1"):
        complete_upload(rt, upload, etags | {1: "x"})
    complete_upload(rt, upload, etags)


def test_a_whole_with_another_hash_is_thrown_away(rt, upload):
    etags = {
        number: send(rt, upload, number, bytes(min(1000, 2500 - (number - 1) * 1000))) for number in (1, 2, 3)
    }
    with pytest.raises(Unprocessable):
        complete_upload(rt, upload, etags)
    assert rt.objects.head(object_key(upload.oid)) is None
    with pytest.raises(Conflict):
        complete_upload(rt, upload, etags)


def test_a_part_of_the_wrong_length_is_refused(rt, upload):
    for data in (b"short", bytes(1001)):
        with pytest.raises(Unprocessable):
            send(rt, upload, 1, data)


def test_nothing_is_published_while_a_part_is_arriving(rt, upload):
    etags = {
        number: send(rt, upload, number, DATA[(number - 1) * 1000 : number * 1000]) for number in (1, 2, 3)
    }

    async def late_part():
        more = asyncio.Event()

        async def receive():
            await more.wait()
            return {"type": "http.disconnect"}

        task = asyncio.create_task(receive_part(rt, upload, 2, receive))
        await asyncio.sleep(0)
        with pytest.raises(Conflict):
            complete_upload(rt, upload, etags)
        more.set()
        await asyncio.wait([task])
        assert task.exception() is not None

    asyncio.run(late_part())
    assert rt.objects.head(object_key(upload.oid)) is None


def test_uploads_nobody_finished_expire(rt, upload):
    send(rt, upload, 1, DATA[:1000])
    assert drop_expired_uploads(rt) == 0
    with rt.database.writing() as db:
        db.get(MultipartUpload, upload.id).created_at = clock.now() - timedelta(days=8)
    assert drop_expired_uploads(rt) == 1
    assert list((rt.settings.tmp_root / "multipart").iterdir()) == []
