"""The commit service, its order of writes, and what mends a crash."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from llmos.core import clock
from llmos.core.errors import BadRequest, EntryNotFound, RevisionNotFound, TooLarge
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.auth.credentials import actor_for_token
from llmos.features.repos.cards.attributes import is_lfs_path
from llmos.features.repos.commit_targets import open_target
from llmos.features.repos.commits import CommitDraft, CommitResult
from llmos.features.repos.files import open_git, open_large_file, read_text
from llmos.features.repos.lfs_tracking import track_paths
from llmos.features.repos.lifecycle import create_repo
from llmos.features.repos.models import Repo, RepoLfsClaim
from llmos.features.repos.push import RefUpdate, move_refs, reconcile
from llmos.features.storage.models import LfsObject
from llmos.infra.git.errors import RefConflict
from llmos.infra.git.refs import ANY, update_ref
from llmos.infra.git.revisions import read_ref
from llmos.infra.queue.outbox import OutboxEvent
from llmos.infra.runtime import Runtime
from llmos.protocols.hf.ndjson import LineSplitter


@pytest.fixture
def ada(rt: Runtime, tokens: dict[str, str]) -> Actor:
    with rt.database.reading() as db:
        return actor_for_token(db, tokens["ada"])


@pytest.fixture
def tiny(rt: Runtime, ada: Actor) -> Repo:
    with rt.database.writing() as db:
        return create_repo(db, ada, rt, name="tiny-llm")


def commit(rt: Runtime, actor: Actor, files: dict[str, bytes], rev: str = "main") -> CommitResult:
    with rt.database.reading() as db:
        target = open_target(db, rt, actor, RepoType.MODEL, "ada", "tiny-llm", rev)
    with CommitDraft(rt, actor, target) as draft:
        draft.set_header("Add files", "", None)
        for path, data in files.items():
            draft.add_file(path, data)
        return draft.finish()


def head_row(rt: Runtime, repo: Repo) -> str | None:
    with rt.database.reading() as db:
        return db.scalar(select(Repo.head_oid).where(Repo.id == repo.id))


def news_count(rt: Runtime) -> int:
    with rt.database.reading() as db:
        return db.scalar(select(func.count()).select_from(OutboxEvent)) or 0


def test_rows_and_ref_agree_after_a_commit(rt: Runtime, ada: Actor, tiny: Repo) -> None:
    before = news_count(rt)
    result = commit(rt, ada, {"a.txt": b"1"})
    assert head_row(rt, tiny) == read_ref(open_git(rt, tiny), "refs/heads/main") == result.commit_oid
    assert news_count(rt) == before + 1
    assert commit(rt, ada, {"a.txt": b"1"}).commit_oid == result.commit_oid
    assert news_count(rt) == before + 1


def test_a_lost_race_changes_nothing(rt: Runtime, ada: Actor, tiny: Repo) -> None:
    old = head_row(rt, tiny)
    new = commit(rt, ada, {"a.txt": b"1"}).commit_oid
    before = news_count(rt)
    with pytest.raises(RefConflict):
        move_refs(rt, ada, tiny.id, [RefUpdate("refs/heads/main", old, old)])
    assert (head_row(rt, tiny), news_count(rt)) == (new, before)


def test_the_reconciler_finds_what_a_crash_left(rt: Runtime, ada: Actor, tiny: Repo) -> None:
    old = head_row(rt, tiny)
    new = commit(rt, ada, {"README.md": b"---\nlicense: mit\n---\n"}).commit_oid
    git_repo = open_git(rt, tiny)
    update_ref(git_repo, "refs/heads/main", old, ANY)
    assert reconcile(rt) == 1
    assert head_row(rt, tiny) == old
    update_ref(git_repo, "refs/heads/main", new, ANY)
    assert reconcile(rt) == 1
    assert reconcile(rt) == 0
    with rt.database.reading() as db:
        assert db.get_one(Repo, tiny.id).license == "mit"


def test_the_first_commit_makes_the_default_branch_only(rt: Runtime, ada: Actor, tiny: Repo) -> None:
    update_ref(open_git(rt, tiny), "refs/heads/main", None, ANY)
    with pytest.raises(RevisionNotFound):
        commit(rt, ada, {"a.txt": b"1"}, rev="other")
    commit(rt, ada, {"a.txt": b"1"})
    assert read_text(rt, tiny, "main", "a.txt").text == "1"


def test_a_hand_written_pointer_reaches_nothing(rt: Runtime, ada: Actor, tiny: Repo) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 5\n".encode()
    with pytest.raises(BadRequest, match="has not been uploaded"):
        commit(rt, ada, {"a.bin": pointer})


@pytest.mark.parametrize("xet_hash", [None, "b" * 64])
def test_quarantined_bytes_are_given_to_nobody(
    rt: Runtime, ada: Actor, tiny: Repo, xet_hash: str | None
) -> None:
    oid = "a" * 64
    with rt.database.writing() as db:
        db.add(LfsObject(oid=oid, size_bytes=5, quarantined_at=clock.now()))
        db.add(RepoLfsClaim(repo_id=tiny.id, oid=oid, size_bytes=5, xet_hash=xet_hash))
    with rt.database.reading() as db, pytest.raises(EntryNotFound, match="quarantine"):
        open_large_file(db, rt, tiny, oid)


def test_many_untracked_files_need_few_lines() -> None:
    paths = [f"data/part [{number}].shard" for number in range(3000)] + ["one.odd", "noending"]
    text = track_paths("*.bin filter=lfs diff=lfs merge=lfs -text\n", paths)
    assert all(is_lfs_path(text, path) for path in paths)
    assert not is_lfs_path(text, "other/x.shard")
    assert len(text.splitlines()) == 4
    assert track_paths(text, paths) == text


def test_lines_are_cut_anywhere_and_capped() -> None:
    body = b'{"a":1}\n\n{"b":2}\r\n{"c":3}'
    for size in range(1, len(body)):
        splitter = LineSplitter(20, "too large")
        lines = [line for at in range(0, len(body), size) for line in splitter.feed(body[at : at + size])]
        assert [line.strip() for line in lines + splitter.finish()] == [b'{"a":1}', b'{"b":2}', b'{"c":3}']
    with pytest.raises(TooLarge, match="is too large for a commit"):
        LineSplitter(60, "too large").feed(b'{"key":"file","value":{"path":"x.txt","content":"' + b"x" * 50)
