from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pygit2
import pytest

from llmos.infra.git import refs as refs_module
from llmos.infra.git.errors import InvalidRef, RefConflict, RevisionNotFound
from llmos.infra.git.process import git_environment
from llmos.infra.git.refs import (
    ANY,
    RefUpdate,
    create_branch,
    create_tag,
    delete_ref,
    holding_ref,
    update_ref,
    update_refs,
)
from llmos.infra.git.repository import open_repo
from llmos.infra.git.revisions import read_ref
from llmos.infra.git.stale_locks import clear_stale_locks


def _refused(git_repo, *update) -> RefConflict:
    with pytest.raises(RefConflict) as caught:
        update_ref(git_repo, *update)
    return caught.value


def test_a_move_needs_the_value_it_expects(git_repo, commit) -> None:
    first, second = commit({"a": b"1"}), commit({"a": b"2"})
    ref = "refs/heads/x"
    update_ref(git_repo, ref, first, None)
    assert _refused(git_repo, ref, second, None).message == f"Reference {ref} already exists"
    assert _refused(git_repo, ref, second, second).data["current"] == first
    assert _refused(git_repo, ref, None, second).status == 409
    assert read_ref(git_repo, ref) == first
    update_ref(git_repo, ref, second, first)
    update_ref(git_repo, ref, None, second)
    assert read_ref(git_repo, ref) is None
    assert _refused(git_repo, ref, second, first).data["current"] is None


def test_packed_refs_are_compared_moved_and_deleted(git_repo, commit, git) -> None:
    first, second = commit({"a": b"1"}), commit({"a": b"2"})
    create_branch(git_repo, "x", first)
    create_branch(git_repo, "y", first)
    git("pack-refs", "--all", "--prune")
    _refused(git_repo, "refs/heads/x", second, None)
    update_ref(git_repo, "refs/heads/x", second, first)
    delete_ref(git_repo, "refs/heads/y", first)
    assert git("for-each-ref", "--format=%(refname) %(objectname)").splitlines() == [
        f"refs/heads/main {second}",
        f"refs/heads/x {second}",
    ]
    git("pack-refs", "--all", "--prune")
    delete_ref(git_repo, "refs/heads/x")
    assert "refs/heads/x" not in git("for-each-ref")


def test_a_folder_and_a_ref_of_one_name_conflict(git_repo, commit, git) -> None:
    oid = commit({"a": b"1"})
    create_branch(git_repo, "a/b", oid)
    for _ in ("loose", "packed"):
        assert "cannot exist beside" in _refused(git_repo, "refs/heads/a", oid, None).message
        assert "cannot exist beside" in _refused(git_repo, "refs/heads/a/b/c", oid, None).message
        git("pack-refs", "--all", "--prune")
    delete_ref(git_repo, "refs/heads/a/b")
    create_branch(git_repo, "a", oid)
    delete_ref(git_repo, "refs/heads/a")
    create_branch(git_repo, "a/b/c", oid)


def test_only_commits_and_tags_of_this_repository_are_targets(git_repo, commit, git) -> None:
    commit({"a": b"1"})
    blob = git("rev-parse", "main:a").strip()
    for target in (blob, "0" * 40, "zz"):
        with pytest.raises(RevisionNotFound):
            update_ref(git_repo, "refs/heads/x", target, None)
    for ref in ("refs/heads/../x", "HEAD", "refs/x", "refs/heads/a b"):
        with pytest.raises(InvalidRef):
            update_ref(git_repo, ref, "0" * 40, None)
    with pytest.raises(RevisionNotFound):
        delete_ref(git_repo, "refs/heads/nope")


def test_of_several_moves_all_or_none_happen(git_repo, commit) -> None:
    first, second = commit({"a": b"1"}), commit({"a": b"2"})
    moves = [
        RefUpdate("refs/heads/new", first, None),
        RefUpdate("refs/heads/main", first, first),
    ]
    with pytest.raises(RefConflict):
        update_refs(git_repo, moves)
    assert read_ref(git_repo, "refs/heads/new") is None
    update_refs(git_repo, [moves[0], RefUpdate("refs/heads/main", first, second)])
    assert read_ref(git_repo, "refs/heads/new") == read_ref(git_repo, "refs/heads/main") == first


def test_gits_own_lock_is_respected_and_ours_by_git(git_repo, commit, repo_path: Path, monkeypatch) -> None:
    first, second = commit({"a": b"1"}), commit({"a": b"2"})
    monkeypatch.setattr(refs_module, "LOCK_TIMEOUT_S", 0.05)
    lock = repo_path / "refs/heads/main.lock"
    lock.touch()
    assert "try again" in _refused(git_repo, "refs/heads/main", first, second).message
    lock.unlink()
    with holding_ref(git_repo, "refs/heads/main") as held:
        assert held == second
        done = subprocess.run(
            ["git", f"--git-dir={repo_path}", "update-ref", "refs/heads/main", first],
            env=git_environment(),
            capture_output=True,
            check=False,
        )
        assert done.returncode != 0
    assert read_ref(git_repo, "refs/heads/main") == second
    assert not lock.exists()


def test_a_lock_that_a_killed_process_left_is_removed(git_repo, commit, repo_path: Path) -> None:
    first, second = commit({"a": b"1"}), commit({"a": b"2"})
    create_branch(git_repo, "x", first)
    a_minute_ago = time.time() - 61
    for name in ("refs/heads/main.lock", "packed-refs.lock"):
        (repo_path / name).touch()
        os.utime(repo_path / name, (a_minute_ago, a_minute_ago))
    update_ref(git_repo, "refs/heads/main", first, second)
    delete_ref(git_repo, "refs/heads/x", first)
    assert read_ref(git_repo, "refs/heads/main") == first
    assert not list(repo_path.rglob("*.lock"))


def test_only_locks_of_refs_are_looked_for(repo_path: Path) -> None:
    other = repo_path.parent / "other.lock"
    other.touch()
    os.utime(other, (0, 0))
    with pytest.raises(InvalidRef):
        clear_stale_locks(repo_path, ["refs/heads/../../../other"])
    assert other.exists()


def test_an_annotated_tag_is_a_tag_object(git_repo, commit, ada, git) -> None:
    oid = commit({"a": b"1"})
    create_tag(git_repo, "v1", oid, message="First\n\nwords", tagger=ada)
    shown = git("cat-file", "-p", "refs/tags/v1")
    assert "tagger Ada Lovelace <ada@example.org> 1767225600 +0000" in shown
    assert shown.endswith("\n\nFirst\n\nwords\n")
    with pytest.raises(RefConflict):
        create_tag(git_repo, "v1", oid)


ROUNDS = 40


# Moves the branch forward from wherever it is and prints how many moves this process made.
MOVE_ALONG = """
import sys
from llmos.infra.git.errors import RefConflict
from llmos.infra.git.refs import update_ref
from llmos.infra.git.repository import open_repo
from llmos.infra.git.revisions import read_ref
from llmos.infra.git.stale_locks import clear_stale_locks

path, *commits = sys.argv[1:]
git_repo = open_repo(path)
wins = 0
while (current := read_ref(git_repo, "refs/heads/race")) != commits[-1]:
    try:
        update_ref(git_repo, "refs/heads/race", commits[commits.index(current) + 1], current)
        wins += 1
    except RefConflict:
        pass
print(wins)
"""


def test_of_racing_processes_exactly_one_makes_each_move(
    git_repo: pygit2.Repository, commit, repo_path: Path, git
) -> None:
    commits = [commit({"a": b"%d" % number}) for number in range(ROUNDS + 1)]
    create_branch(git_repo, "race", commits[0])
    command = [sys.executable, "-c", MOVE_ALONG, str(repo_path), *commits]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    # Packing takes the same locks and moves values between two files under the racers.
    while any(worker.poll() is None for worker in workers):
        git("pack-refs", "--all", "--prune")
    wins = [int(worker.communicate()[0]) for worker in workers]
    assert sum(wins) == ROUNDS
    assert read_ref(git_repo, "refs/heads/race") == commits[-1]


def test_of_racing_threads_and_git_exactly_one_creates(commit, repo_path: Path, git_repo) -> None:
    first, second = commit({"a": b"1"}), commit({"a": b"2"})
    for number in range(10):
        ref = f"refs/heads/race-{number}"
        wins: list[str] = []

        def ours(ref: str = ref, wins: list[str] = wins) -> None:
            try:
                update_ref(open_repo(repo_path), ref, first, None)
                wins.append(first)
            except RefConflict:
                pass

        def theirs(ref: str = ref, wins: list[str] = wins) -> None:
            done = subprocess.run(
                ["git", f"--git-dir={repo_path}", "update-ref", ref, second, "0" * 40],
                env=git_environment(),
                capture_output=True,
                check=False,
            )
            if done.returncode == 0:
                wins.append(second)

        threads = [threading.Thread(target=target) for target in (ours, ours, theirs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(wins) == 1
        assert read_ref(git_repo, ref) == wins[0]


def test_any_overwrites(git_repo, commit) -> None:
    first, second = commit({"a": b"1"}), commit({"a": b"2"})
    update_ref(git_repo, "refs/heads/main", first, ANY)
    assert read_ref(git_repo, "refs/heads/main") == first
    assert second in git_repo
