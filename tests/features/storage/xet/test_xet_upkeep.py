"""Damage is found and never served, healing works, and only what is unused goes."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, func, select, update

from features.storage.xet.conftest import CHUNK_BYTES, Made, Store, make_file, object_path
from llmos.cli import gc as command
from llmos.core import clock
from llmos.core.errors import Unavailable
from llmos.features.auth.credentials import actor_for_token
from llmos.features.buckets.references import collect_unclaimed, referenced_files
from llmos.features.repos.lifecycle import delete_repo
from llmos.features.repos.models import Repo, RepoLfsClaim
from llmos.features.repos.xet_conversion import keep_file
from llmos.features.storage.xet.dedup import ADVERTISED_S
from llmos.features.storage.xet.gc import collect_xet, plan_xet_gc
from llmos.features.storage.xet.hot import get_hot_path, keep_hot, make_room
from llmos.features.storage.xet.hot_check import check_hot
from llmos.features.storage.xet.models import XetDedupChunk, XetFile, XetXorb, XetXorbScope
from llmos.features.storage.xet.reading import stream_file
from llmos.features.storage.xet.scrub import scrub
from llmos.features.storage.xet.tables import XetQuarantined
from llmos.infra.runtime import Runtime
from llmos.infra.settings import Settings
from llmos.infra.xet.xorb import build_xorb

MakeRepo = Callable[..., str]
NOW = timedelta(0)


@pytest.fixture
def repo(make_repo: MakeRepo) -> str:
    return make_repo("ada", "tiny-llm")


@pytest.fixture
def token(store: Store, repo: str) -> str:
    return store.token("ada", repo)


@pytest.fixture
def made(store: Store, token: str) -> Made:
    file = make_file(1, scheme=0)
    assert store.upload(token, file)[0] == 200
    return file


def flip_byte(rt: Runtime, made: Made, offset: int) -> None:
    path = object_path(rt, made.xorb_hash)
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def age(rt: Runtime, days: float) -> None:
    """Everything stored was last touched so many days ago."""
    then = clock.now() - timedelta(days=days)
    with rt.database.writing() as db:
        db.execute(update(XetXorb).values(touched_at=then))
        db.execute(update(XetFile).values(touched_at=then))


def count(rt: Runtime, table: type) -> int:
    with rt.database.reading() as db:
        return db.scalar(select(func.count()).select_from(table)) or 0


def test_scrub_finds_a_flipped_byte_and_withdraws_it(
    store: Store, rt: Runtime, token: str, made: Made
) -> None:
    assert scrub(rt, every=NOW).damaged == []
    _, body = store.get(f"/v2/reconstructions/{made.file_hash}", token)
    url = json.loads(body)["xorbs"][made.xorb_hash][0]["url"]
    flip_byte(rt, made, 5000)
    assert scrub(rt, every=timedelta(days=1)).xorb_count == 0  # read lately
    assert scrub(rt, every=NOW).damaged == [made.xorb_hash]
    assert store.get(f"/v2/reconstructions/{made.file_hash}", token)[0] == 403
    assert store.http.get(url, headers={"Range": "bytes=0-9"}).status_code == 404
    with pytest.raises(XetQuarantined):
        next(stream_file(rt, made.file_hash))
    assert len(list(rt.objects.list("quarantine"))) == 1


def test_head_knows_of_damage_at_once(store: Store, rt: Runtime, repo: str, made: Made) -> None:
    store.commit("ada", repo, made)
    url = f"/{repo}/resolve/main/model.bin"
    assert [store.http.head(url).status_code for _ in range(2)] == [200, 200]
    flip_byte(rt, made, 5000)
    assert scrub(rt, every=NOW).damaged == [made.xorb_hash]
    assert [store.http.request(method, url).status_code for method in ("HEAD", "GET")] == [403, 403]


def test_lost_object_is_found(rt: Runtime, made: Made) -> None:
    object_path(rt, made.xorb_hash).unlink()
    assert scrub(rt, every=NOW).damaged == [made.xorb_hash]


def test_bytes_the_disk_cannot_read_are_damage(
    rt: Runtime, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad sector answers EIO; the scrubber goes on behind it, and what can be kept is kept."""
    name, read = object_path(rt, made.xorb_hash).name, os.pread

    def failing(fd: int, count: int, offset: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{fd}").endswith(name):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(fd, count, offset)

    monkeypatch.setattr(os, "pread", failing)
    with pytest.raises(XetQuarantined):
        list(stream_file(rt, made.file_hash))
    with rt.database.writing() as db:
        db.get_one(XetXorb, made.xorb_hash).quarantined_at = None
    (kept,) = rt.objects.list("quarantine")
    rt.objects.move(kept.key, kept.key.removeprefix("quarantine/"))
    assert scrub(rt, every=NOW).damaged == [made.xorb_hash]
    assert [meta.size_bytes for meta in rt.objects.list("quarantine")] == [len(made.xorb)]


def test_reading_never_gives_out_a_flipped_byte(rt: Runtime, made: Made) -> None:
    flip_byte(rt, made, 3 * (CHUNK_BYTES + 8) + 100)
    with pytest.raises(XetQuarantined):
        list(stream_file(rt, made.file_hash, 3 * CHUNK_BYTES, 4 * CHUNK_BYTES))
    with pytest.raises(XetQuarantined):
        list(stream_file(rt, made.file_hash, 0, 10))
    assert get_hot_path(rt, made.file_hash, len(made.data)) is None


def test_uploading_again_heals(store: Store, rt: Runtime, token: str, made: Made) -> None:
    flip_byte(rt, made, 5000)
    scrub(rt, every=NOW)
    assert store.post(f"/v1/xorb-grants/default/{made.xorb_hash}", token)[0] == 404
    assert store.upload(token, made)[0] == 200
    assert b"".join(stream_file(rt, made.file_hash)) == made.data


def test_same_chunks_packed_otherwise_heal_too(store: Store, rt: Runtime, token: str, made: Made) -> None:
    flip_byte(rt, made, 5000)
    scrub(rt, every=NOW)
    chunks = [made.data[i : i + CHUNK_BYTES] for i in range(0, len(made.data), CHUNK_BYTES)]
    packed, parsed = build_xorb(chunks, 2)
    assert parsed.xorb_hash == made.parsed.xorb_hash
    assert packed != made.xorb
    assert store.post(f"/v1/xorbs/default/{made.xorb_hash}", token, packed)[0] == 200
    assert b"".join(stream_file(rt, made.file_hash)) == made.data


def test_upload_beside_a_whole_xorb_changes_nothing(
    store: Store, rt: Runtime, token: str, made: Made
) -> None:
    chunks = [made.data[i : i + CHUNK_BYTES] for i in range(0, len(made.data), CHUNK_BYTES)]
    packed, _ = build_xorb(chunks, 1)
    assert store.post(f"/v1/xorbs/default/{made.xorb_hash}", token, packed)[1] == '{"was_inserted":false}'
    assert object_path(rt, made.xorb_hash).read_bytes() == made.xorb
    assert len(list(rt.objects.list("xorbs"))) == 1


def test_whole_read_leaves_a_hot_copy(rt: Runtime, made: Made) -> None:
    assert b"".join(stream_file(rt, made.file_hash, 0, 100)) == made.data[:100]
    assert get_hot_path(rt, made.file_hash, len(made.data)) is None
    assert b"".join(stream_file(rt, made.file_hash)) == made.data
    path = get_hot_path(rt, made.file_hash, len(made.data))
    assert path is not None
    assert path.read_bytes() == made.data
    make_room(rt, rt.settings.hot_cache_bytes)
    assert not path.exists()


def test_copies_are_compared_with_their_chunks(store: Store, rt: Runtime, token: str, made: Made) -> None:
    other, gone = make_file(2), make_file(3)
    for file in (other, gone):
        assert store.upload(token, file)[0] == 200
    paths = {}
    for file in (made, other, gone):
        assert b"".join(stream_file(rt, file.file_hash)) == file.data
        paths[file.file_hash] = get_hot_path(rt, file.file_hash, len(file.data))
    assert check_hot(rt) == []
    damaged = bytearray(made.data)
    damaged[40_000] ^= 1
    (paths[made.file_hash] or Path()).write_bytes(damaged)
    flip_byte(rt, other, 5000)
    assert scrub(rt, every=NOW).damaged == [other.xorb_hash]
    with rt.database.writing() as db:
        db.execute(delete(RepoLfsClaim).where(RepoLfsClaim.xet_hash == gone.file_hash))
        db.execute(delete(XetFile).where(XetFile.file_hash == gone.file_hash))
    assert check_hot(rt) == [], "a round is over for a week"
    found: list[str] = []
    for _ in range(3):  # one copy each time, on from the last
        found += check_hot(rt, budget_bytes=1, every=NOW)
    assert sorted(found) == sorted([made.file_hash, gone.file_hash])
    assert (paths[other.file_hash] or Path()).exists(), "all that is left of damaged chunks"
    assert b"".join(stream_file(rt, made.file_hash)) == made.data


def test_copies_left_by_a_crash_go(rt: Runtime) -> None:
    root = rt.settings.home / "cache" / "xet"
    root.mkdir(parents=True)
    for name in (".1-old", ".2-new"):
        (root / name).write_bytes(b"half")
    os.utime(root / ".1-old", (0, 0))
    make_room(rt)
    assert [path.name for path in root.iterdir()] == [".2-new"]


def test_broken_off_read_leaves_no_copy(rt: Runtime, made: Made) -> None:
    stream = stream_file(rt, made.file_hash)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert not [path for path in (rt.settings.home / "cache").rglob("*") if path.is_file()]


def test_one_of_two_readers_makes_the_copy(rt: Runtime, made: Made) -> None:
    first, second = stream_file(rt, made.file_hash), stream_file(rt, made.file_hash)
    head = next(first)
    assert b"".join(second) == made.data
    assert get_hot_path(rt, made.file_hash, len(made.data)) is None
    assert head + b"".join(first) == made.data
    assert get_hot_path(rt, made.file_hash, len(made.data)) is not None


def test_hot_copies_stay_within_their_limit(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rt.settings, "hot_cache_bytes", 350)
    for number in range(6):
        list(keep_hot(rt, f"{number:064x}", 100, iter([bytes(100)])))
    held = [path for path in (rt.settings.home / "cache").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in held) <= 350
    list(keep_hot(rt, "f" * 64, 400, iter([bytes(400)])))
    assert get_hot_path(rt, "f" * 64, 400) is None


def remove_repo(store: Store, rt: Runtime) -> None:
    with rt.database.writing() as db:
        actor = actor_for_token(db, store.tokens["ada"])
        delete_repo(db, actor, db.scalars(select(Repo)).unique().one())


def test_claimed_files_stay_for_ever(rt: Runtime, made: Made) -> None:
    age(rt, 1000)
    plan = plan_xet_gc(rt, referenced_files)
    assert (plan.files, plan.marked, plan.removed) == ([], [], [])


def test_unclaimed_bytes_go_after_the_grace_in_two_steps(store: Store, rt: Runtime, made: Made) -> None:
    age(rt, 1000)
    remove_repo(store, rt)
    collect_unclaimed(rt)
    assert (count(rt, XetFile), count(rt, XetXorb)) == (1, 1)  # the grace begins with the deletion
    age(rt, rt.settings.gc_grace_days + 1)
    assert collect_unclaimed(rt) == 0  # marked
    assert (count(rt, XetFile), count(rt, XetDedupChunk)) == (0, 0)
    collect_unclaimed(rt)
    assert collect_unclaimed(rt) == 0
    assert object_path(rt, made.xorb_hash).exists()
    with rt.database.writing() as db:
        db.execute(update(XetXorb).values(doomed_at=clock.now() - timedelta(days=2)))
    assert plan_xet_gc(rt, referenced_files).removed == [made.xorb_hash]
    assert collect_unclaimed(rt) == len(made.xorb)
    assert (count(rt, XetXorb), count(rt, XetXorbScope)) == (0, 0)
    assert not list(rt.objects.list("xorbs"))


def test_marks_can_be_undone_until_they_are_carried_out(
    store: Store, rt: Runtime, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_repo(store, rt)
    age(rt, rt.settings.gc_grace_days + 0.5)

    def gc(*options: str) -> dict[str, int]:
        monkeypatch.setattr(command, "open_cli_runtime", lambda: nullcontext(rt))
        done = CliRunner().invoke(command.command, [*options, "--json"])
        assert done.exit_code == 0, done.output
        found: dict[str, int] = json.loads(done.output)
        return found

    assert gc()["xet_marked"] == 1
    assert gc()["xet_marked"] == 1, "a dry run marks nothing"
    assert gc("--delete")["xet_marked"] == 1
    assert (gc()["xet_marked"], gc()["xet_files"], count(rt, XetFile)) == (0, 0, 1)
    assert gc("--undo") == {"xet_kept": 1, "xet_files_kept": 1}
    assert gc("--undo") == {"xet_kept": 0, "xet_files_kept": 0}
    with rt.database.writing() as db:
        assert db.get_one(XetXorb, made.xorb_hash).doomed_at is None
    for _ in range(2):
        gc("--delete")
    assert b"".join(stream_file(rt, made.file_hash)) == made.data
    assert CliRunner().invoke(command.command, ["--undo", "--delete"]).exit_code == 2


def test_grace_outlasts_what_clients_remember(rt: Runtime, tmp_path: Path) -> None:
    assert rt.settings.gc_grace_days > ADVERTISED_S / 86_400 == 21
    with pytest.raises(ValueError, match="gc_grace_days"):
        Settings(home=tmp_path, gc_grace_days=21)


def test_touch_takes_a_marked_xorb_back(store: Store, rt: Runtime, made: Made, make_repo: MakeRepo) -> None:
    age(rt, 1000)
    remove_repo(store, rt)
    age(rt, 1000)
    collect_unclaimed(rt)
    token = store.token("ada", make_repo("ada", "second"))
    assert store.post("/v1/shards", token, made.shard())[0] == 200  # from the client's memory, without xorbs
    with rt.database.writing() as db:
        assert db.get_one(XetXorb, made.xorb_hash).doomed_at is None
    age(rt, 1000)
    collect_unclaimed(rt)
    assert b"".join(stream_file(rt, made.file_hash)) == made.data


def test_stale_plan_spares_what_was_touched_since(store: Store, rt: Runtime, token: str) -> None:
    lone = make_file(3)
    assert store.post(f"/v1/xorbs/default/{lone.xorb_hash}", token, lone.xorb)[0] == 200
    age(rt, 1000)
    collect_xet(rt, plan_xet_gc(rt, referenced_files), referenced_files)
    with rt.database.writing() as db:
        db.execute(update(XetXorb).values(doomed_at=clock.now() - timedelta(days=2)))
    plan = plan_xet_gc(rt, referenced_files)
    assert plan.removed == [lone.xorb_hash]
    assert store.upload(token, lone)[0] == 200
    assert collect_xet(rt, plan, referenced_files) == 0
    assert b"".join(stream_file(rt, lone.file_hash)) == lone.data


def test_chunks_an_object_is_about_to_become_are_kept(rt: Runtime, store: Store, made: Made) -> None:
    """A plan to remove them was made; then a conversion finds them stored already and uses them."""
    age(rt, 1000)
    remove_repo(store, rt)
    age(rt, 1000)
    with rt.database.writing() as db:
        db.execute(update(XetXorb).values(doomed_at=clock.now() - timedelta(days=2)))
    plan = plan_xet_gc(rt, referenced_files)
    assert plan.removed == [made.xorb_hash]
    with rt.database.writing() as db:
        keep_file(db, str(made.file.sha256), made.file_hash)
    collect_xet(rt, plan, referenced_files)
    assert b"".join(stream_file(rt, made.file_hash)) == made.data
    with rt.database.writing() as db:
        db.execute(delete(XetXorb))
        with pytest.raises(Unavailable):
            keep_file(db, str(made.file.sha256), made.file_hash)


def test_strays_of_a_crash_go(rt: Runtime, made: Made) -> None:

    rt.objects.put_bytes(f"xorbs/aa/{'a' * 64}.{'0' * 12}", b"lost")
    assert plan_xet_gc(rt, referenced_files).stray_keys == []  # it may be arriving just now
    for meta in rt.objects.list("xorbs"):
        path = rt.objects.local_path(meta.key)
        assert path is not None
        os.utime(path, (0, 0))
    assert collect_unclaimed(rt) == 0  # nobody looked at what it would remove
    plan = plan_xet_gc(rt, referenced_files)
    assert collect_xet(rt, plan, referenced_files) == 4
    assert object_path(rt, made.xorb_hash).exists()
