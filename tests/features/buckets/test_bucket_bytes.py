"""What a bucket uses is kept for ever, what it gave up goes, and only its own bytes are reached."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError

from features.buckets.conftest import Buckets, add, copy
from features.storage.xet.conftest import Made, Store, make_file, object_path
from llmos.core import clock
from llmos.core.repo_types import RepoType
from llmos.features.auth.credentials import actor_for_token
from llmos.features.buckets.deletion import KEEP_DELETED, purge_deleted_buckets
from llmos.features.buckets.models import Bucket
from llmos.features.buckets.references import collect_unclaimed
from llmos.features.repos.lifecycle import create_repo, delete_repo
from llmos.features.repos.models import RepoLfsClaim
from llmos.features.repos.policy import get_repo
from llmos.features.repos.xet_claims import claimed_files
from llmos.features.storage.xet.gc import collect_xet, plan_xet_gc
from llmos.features.storage.xet.models import XetFile, XetXorb
from llmos.infra.runtime import Runtime


def age(rt: Runtime) -> None:
    """Everything stored was last used long ago, and what is marked was marked long ago."""
    then = clock.now() - timedelta(days=1000)
    with rt.database.writing() as db:
        db.execute(update(XetXorb).values(touched_at=then))
        db.execute(update(XetXorb).where(XetXorb.doomed_at.is_not(None)).values(doomed_at=then))
        db.execute(update(XetFile).values(touched_at=then))


def collect_all(rt: Runtime) -> None:
    """As many runs as a removal takes, each long after the one before."""
    for _ in range(4):
        age(rt)
        collect_unclaimed(rt)


def is_stored(rt: Runtime, made: Made) -> bool:
    with rt.database.reading() as db:
        return db.get(XetFile, made.file_hash) is not None and db.get(XetXorb, made.xorb_hash) is not None


def read(buckets: Buckets, bucket: str, path: str) -> bytes:
    answer = buckets.send("GET", f"/buckets/{bucket}/resolve/{path}")
    assert answer.status_code == 200, answer.text
    content: bytes = answer.content
    return content


def test_collection_keeps_what_a_bucket_uses(rt: Runtime, buckets: Buckets, bucket: str) -> None:
    kept, dropped, overwritten = make_file(1), make_file(2), make_file(3)
    buckets.bring(bucket, kept, "kept")
    buckets.bring(bucket, dropped, "dropped")
    buckets.bring(bucket, overwritten, "changing")
    assert buckets.batch(bucket, {"type": "deleteFile", "path": "dropped"}).status_code == 200
    assert buckets.batch(bucket, add("changing", kept.file_hash)).status_code == 200
    collect_unclaimed(rt)
    assert is_stored(rt, dropped)  # the grace begins when the last user goes
    collect_all(rt)
    assert [is_stored(rt, made) for made in (kept, dropped, overwritten)] == [True, False, False]
    assert not list(rt.settings.home.rglob(f"{dropped.xorb_hash}.*"))
    assert read(buckets, bucket, "changing") == kept.data


def test_bytes_of_a_deleted_bucket_go(rt: Runtime, buckets: Buckets, bucket: str) -> None:
    made = make_file(1)
    buckets.bring(bucket, made, "a", "b")
    age(rt)
    assert buckets.api("DELETE", bucket).status_code == 200
    collect_all(rt)
    assert is_stored(rt, made)  # it can still be brought back
    with rt.database.writing() as db:
        db.execute(update(Bucket).values(deleted_at=clock.now() - KEEP_DELETED))
    assert purge_deleted_buckets(rt) == 1
    collect_unclaimed(rt)
    assert is_stored(rt, made)  # the grace begins with the purge
    collect_all(rt)
    assert not is_stored(rt, made)


def test_collection_that_knows_only_repositories_breaks_off(
    rt: Runtime, buckets: Buckets, bucket: str
) -> None:
    made, lone = make_file(1), make_file(2)
    buckets.bring(bucket, made, "kept")
    buckets.bring(bucket, lone)
    age(rt)
    with pytest.raises(IntegrityError):
        collect_xet(rt, plan_xet_gc(rt, claimed_files), claimed_files)
    with rt.database.reading() as db:
        assert db.get_one(XetXorb, made.xorb_hash).doomed_at is None
    assert read(buckets, bucket, "kept") == made.data


def test_use_between_plan_and_deed_saves_the_bytes(rt: Runtime, buckets: Buckets, bucket: str) -> None:
    from llmos.features.buckets.references import referenced_files

    made = make_file(1)
    buckets.bring(bucket, made)  # brought, under no path yet
    age(rt)
    collect_marked = plan_xet_gc(rt, referenced_files)
    assert collect_marked.files == [made.file_hash]
    with rt.database.writing() as db:
        db.execute(update(XetXorb).values(doomed_at=clock.now() - timedelta(days=2)))
    plan = plan_xet_gc(rt, referenced_files)
    assert plan.removed == [made.xorb_hash]
    assert buckets.batch(bucket, add("just-now", made.file_hash)).status_code == 200
    collect_xet(rt, plan, referenced_files)
    collect_all(rt)
    assert read(buckets, bucket, "just-now") == made.data
    assert object_path(rt, made.xorb_hash).exists()


def test_copy_outlives_its_repository(rt: Runtime, buckets: Buckets, bucket: str) -> None:
    made = make_file(1)
    actor = None
    with rt.database.writing() as db:
        actor = actor_for_token(db, buckets.tokens["ada"])
        create_repo(db, actor, rt, name="ada/tiny-llm", visibility="private")
    store = Store(buckets.http, buckets.tokens)
    assert store.upload(store.token("ada", "ada/tiny-llm"), made)[0] == 200
    line = copy("copied", made.file_hash, "model", "ada/tiny-llm")
    assert buckets.batch(bucket, line).status_code == 200
    # grace reads neither the repository nor the bucket, so there is nothing to copy for her
    own = buckets.create("grace/own", "grace")
    for kind, source in (("model", "ada/tiny-llm"), ("bucket", bucket), ("model", "ada/none"), ("hat", "x")):
        refused = buckets.batch(own, copy("x", made.file_hash, kind, source), person="grace")
        assert refused.status_code == 422
        assert "that you can read" in refused.json()["failed"][0]["error"]
    with rt.database.writing() as db:
        repo = get_repo(db, RepoType.MODEL, "ada", "tiny-llm")
        assert repo is not None
        delete_repo(db, actor, repo)
        assert not list(db.scalars(RepoLfsClaim.__table__.select()))
    collect_all(rt)
    assert read(buckets, bucket, "copied") == made.data


def test_knowing_a_hash_gives_nothing(buckets: Buckets, bucket: str) -> None:
    made = make_file(1)
    buckets.bring(bucket, made, "secret")
    own = buckets.create("grace/own", "grace")
    refused = buckets.batch(own, add("stolen", made.file_hash), person="grace")
    assert (refused.status_code, refused.json()["succeeded"]) == (422, 0)
    store = Store(buckets.http, buckets.tokens)
    path = f"/v1/reconstructions/{made.file_hash}"
    assert store.get(path, buckets.token(bucket, "read"))[0] == 200
    assert store.get(path, buckets.token(own, "read", "grace"))[0] == 404
    assert (
        store.post(f"/v1/xorbs/default/{made.xorb_hash}", buckets.token(bucket, "read"), made.xorb)[0] == 403
    )


def test_token_of_a_bucket_opens_no_repository(rt: Runtime, buckets: Buckets) -> None:
    made = make_file(1)
    with rt.database.writing() as db:
        create_repo(db, actor_for_token(db, buckets.tokens["ada"]), rt, name="ada/tiny-llm")
    store = Store(buckets.http, buckets.tokens)
    assert store.upload(store.token("ada", "ada/tiny-llm"), made)[0] == 200
    own = buckets.create("grace/own", "grace")  # both have the id 1
    assert store.get(f"/v1/reconstructions/{made.file_hash}", buckets.token(own, "read", "grace"))[0] == 404


def test_deleted_files_are_no_longer_reached(buckets: Buckets, bucket: str) -> None:
    made = make_file(1)
    buckets.bring(bucket, made, "a")
    assert buckets.batch(bucket, {"type": "deleteFile", "path": "a"}).status_code == 200
    store = Store(buckets.http, buckets.tokens)
    assert store.get(f"/v1/reconstructions/{made.file_hash}", buckets.token(bucket, "read"))[0] == 404
    assert buckets.send("GET", f"/buckets/{bucket}/resolve/a").status_code == 404


def test_unused_rows_may_be_forgotten(rt: Runtime, buckets: Buckets, bucket: str) -> None:
    made = make_file(1)
    buckets.bring(bucket, made)
    with rt.database.writing() as db:
        db.execute(delete(XetFile).where(XetFile.file_hash == made.file_hash))
    refused = buckets.batch(bucket, add("late", made.file_hash))
    assert refused.status_code == 422
    assert "upload it first" in refused.json()["failed"][0]["error"]
