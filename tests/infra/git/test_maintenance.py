from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmos.infra.git.commits import count_commits, get_commit
from llmos.infra.git.errors import RepositoryExists
from llmos.infra.git.maintenance import (
    count_objects,
    duplicate,
    fsck,
    remove_stale_locks,
    repack,
    squash,
)
from llmos.infra.git.objects import ObjectWriter
from llmos.infra.git.refs import ANY, create_tag, update_ref
from llmos.infra.git.repository import default_branch, open_repo, set_default_branch
from llmos.infra.git.revisions import list_refs, resolve
from llmos.infra.git.trees import list_tree, read_blob


def test_repacking_gathers_everything_under_open_handles(git_repo, commit, repo_path: Path) -> None:
    heads = [
        commit({f"f{number}": b"%d" % number for number in range(40)}, message=str(at)) for at in range(3)
    ]
    blob = list_tree(git_repo, heads[0]).entries[7]
    for number in range(30):
        commit({"small": b"%d" % number})
    with ObjectWriter(git_repo) as writer:
        fresh = writer.write_blob(b"not reachable yet")
        writer.flush()
    before = count_objects(repo_path)
    assert before.pack_count == 3
    assert before.loose_count > 30
    repack(repo_path)
    after = count_objects(repo_path)
    assert (after.pack_count, after.loose_count, after.garbage_count) == (1, 1, 0)
    assert after.total_bytes < before.total_bytes
    # The handle from before still reads what moved, and a write in progress lost nothing.
    assert read_blob(git_repo, blob.oid) == read_blob(open_repo(repo_path), blob.oid)
    assert read_blob(git_repo, fresh) == b"not reachable yet"
    assert resolve(git_repo, "main") == resolve(git_repo, "HEAD")
    assert fsck(repo_path) == []


def test_fsck_finds_damage(commit, repo_path: Path) -> None:
    assert fsck(repo_path) == []
    oid = commit({"a": b"1"})
    assert fsck(repo_path) == []
    (repo_path / "objects" / oid[:2] / oid[2:]).unlink()
    assert any(oid in line for line in fsck(repo_path))


def test_squashing_keeps_the_tree_and_drops_the_past(git_repo, commit, ada) -> None:
    commit({"a": b"1"})
    head = commit({"b": b"2"})
    oid = squash(git_repo, head, "Start again", ada)
    info = get_commit(git_repo, oid)
    assert (info.parents, info.title) == ((), "Start again")
    assert info.tree == get_commit(git_repo, head).tree
    update_ref(git_repo, "refs/heads/main", oid, head)
    assert count_commits(git_repo, oid) == 1


def test_a_duplicate_is_complete_and_independent(git_repo, commit, ada, repo_path: Path, tmp_path) -> None:
    oid = commit({"a": b"1", "b/c": b"2"})
    create_tag(git_repo, "v1", oid, message="One", tagger=ada)
    update_ref(git_repo, "refs/pr/1", commit({"a": b"2"}, branch="trunk", parents=[oid]), ANY)
    set_default_branch(git_repo, "trunk")
    copy = tmp_path / "copy.git"
    duplicate(repo_path, copy)
    assert list_refs(open_repo(copy)) == list_refs(open_repo(repo_path))
    assert default_branch(open_repo(copy)) == "trunk"
    assert not (copy / "objects/info/alternates").exists()
    assert all(path.stat().st_nlink == 1 for path in copy.rglob("objects/**/*") if path.is_file())
    assert (copy / "config").read_text() == (repo_path / "config").read_text()
    assert fsck(copy) == []
    with pytest.raises(RepositoryExists):
        duplicate(repo_path, copy)
    part = tmp_path / "part.git"
    duplicate(repo_path, part, refs=("refs/heads/main",))
    assert [ref.name for ref in list_refs(open_repo(part)).branches] == ["main"]
    assert list_refs(open_repo(part)).pulls == []
    assert not list(tmp_path.glob(".*"))


def test_an_empty_repository_can_be_duplicated(repo_path: Path, tmp_path) -> None:
    duplicate(repo_path, tmp_path / "copy.git")
    assert fsck(tmp_path / "copy.git") == []


def test_only_old_locks_are_removed(commit, repo_path: Path) -> None:
    commit({"a": b"1"})
    old, young = repo_path / "refs/heads/main.lock", repo_path / "HEAD.lock"
    for lock in (old, young):
        lock.touch()
    os.utime(old, (1, 1))
    assert remove_stale_locks(repo_path) == ["refs/heads/main.lock"]
    assert young.exists()
