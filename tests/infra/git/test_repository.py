from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pygit2
import pytest

from llmos.infra.git.errors import GitFailed, GitTimeout, RepositoryExists, RepositoryMissing
from llmos.infra.git.process import git_environment, read_git, run_git
from llmos.infra.git.refs import update_ref
from llmos.infra.git.repository import (
    default_branch,
    forget_repo,
    init_bare,
    is_empty,
    open_repo,
    set_default_branch,
)
from llmos.infra.git.revisions import resolve
from llmos.infra.git.trees import access_entry


def test_a_new_repository_is_sound_empty_and_without_hooks(
    repo_path: Path, git_repo: pygit2.Repository, git: Callable[..., str]
) -> None:
    assert git("rev-parse", "--is-bare-repository").strip() == "true"
    assert git("symbolic-ref", "HEAD").strip() == "refs/heads/main"
    git("fsck", "--strict")
    assert git("config", "uploadpack.allowFilter").strip() == "true"
    assert git("config", "receive.fsckObjects").strip() == "true"
    assert is_empty(git_repo)
    assert default_branch(git_repo) == "main"
    assert not (repo_path / "hooks").exists()
    assert [item.name for item in repo_path.parent.iterdir()] == [repo_path.name]


def test_a_repository_with_a_commit_is_not_empty(git_repo, commit) -> None:
    commit({"README.md": b"hello"})
    assert not is_empty(git_repo)


def test_an_existing_repository_is_not_replaced(repo_path: Path) -> None:
    with pytest.raises(RepositoryExists):
        init_bare(repo_path)
    open_repo(repo_path)


def test_handles_are_reused_per_thread_and_not_shared(repo_path: Path) -> None:
    mine = open_repo(repo_path)
    assert open_repo(repo_path) is mine
    theirs: list[pygit2.Repository] = []
    thread = threading.Thread(target=lambda: theirs.append(open_repo(repo_path)))
    thread.start()
    thread.join()
    assert theirs[0] is not mine
    forget_repo(repo_path)
    assert open_repo(repo_path) is not mine


def test_a_repository_created_again_at_the_same_path_is_noticed(repo_path: Path, commit) -> None:
    oid = commit({"README.md": b"hello"})
    old = open_repo(repo_path)
    assert oid in old
    shutil.rmtree(repo_path)
    with pytest.raises(RepositoryMissing):
        open_repo(repo_path)
    init_bare(repo_path)
    assert oid not in open_repo(repo_path)


def test_no_repository_is_found_in_a_parent_folder(repo_path: Path) -> None:
    inside = repo_path / "refs"
    with pytest.raises(RepositoryMissing):
        open_repo(inside)


def test_the_default_branch_can_change(
    repo_path: Path, git_repo: pygit2.Repository, git: Callable[..., str]
) -> None:
    set_default_branch(git_repo, "trunk")
    assert git("symbolic-ref", "HEAD").strip() == "refs/heads/trunk"
    assert default_branch(open_repo(repo_path)) == "trunk"


def test_git_failures_and_time_limits_are_typed(repo_path: Path) -> None:
    with pytest.raises(GitFailed, match="status"):
        run_git(repo_path, "cat-file", "-p", "0" * 40)
    with pytest.raises(GitTimeout):
        run_git(repo_path, "-c", "alias.hang=!sleep 30", "hang", timeout_s=0.2)


def test_reading_git_output_stops_at_the_limit(repo_path: Path, commit) -> None:
    oid = commit({"big.txt": b"0123456789\n" * 100_000})
    data, is_truncated = read_git(repo_path, "cat-file", "-p", f"{oid}:big.txt", max_bytes=1000)
    assert (len(data), is_truncated) == (1000, True)
    data, is_truncated = read_git(repo_path, "cat-file", "-t", oid, max_bytes=1000)
    assert (data, is_truncated) == (b"commit\n", False)
    with pytest.raises(GitFailed):
        read_git(repo_path, "cat-file", "-t", "0" * 40, max_bytes=10)


def _git(*args: str, cwd: Path) -> str:
    who = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org"}
    who |= {"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org"}
    done = subprocess.run(
        ["git", *args], cwd=cwd, capture_output=True, check=True, env=git_environment() | who
    )
    return done.stdout.decode()


def test_git_clones_pushes_and_fetches_what_the_configuration_offers(
    repo_path: Path, git_repo: pygit2.Repository, commit, tmp_path: Path
) -> None:
    old = commit({"a": b"1", "big": b"x" * 5000})
    head = commit({"a": b"2"})
    update_ref(git_repo, "refs/internal/keep", old, None)
    update_ref(git_repo, "refs/pr/1", head, None)
    work = tmp_path / "work"
    _git("clone", "-q", "--no-local", "--filter=blob:none", str(repo_path), str(work), cwd=tmp_path)
    assert "refs/internal" not in _git("ls-remote", cwd=work)
    _git("fetch", "-q", "origin", "refs/pr/1:pr-1", cwd=work)
    _git("fetch", "-q", "--depth=1", "origin", old, cwd=work)
    (work / "new").write_text("pushed")
    _git("add", "new", cwd=work)
    _git("commit", "-q", "-m", "From a clone", cwd=work)
    _git("push", "-q", "origin", "HEAD:main", "HEAD:side", cwd=work)
    _git("push", "-q", "origin", ":side", cwd=work)
    pushed = _git("rev-parse", "HEAD", cwd=work).strip()
    assert resolve(git_repo, "main") == pushed
    assert access_entry(git_repo, pushed, "new").size == 6
    with pytest.raises(subprocess.CalledProcessError):
        _git("push", "-q", "origin", ":main", cwd=work)
