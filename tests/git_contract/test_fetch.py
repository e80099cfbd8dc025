"""Clone and fetch in every shape."""

import pytest

from llmos.features.repos.places import git_path
from llmos.infra.git.refs import update_ref
from llmos.infra.git.repository import open_private


def heads(git):
    return git.run("for-each-ref", "--format=%(refname)").split()


def test_an_empty_repository_can_be_cloned(ada, repo):
    assert "empty repository" in ada.run("clone", ada.url(repo.repo_name), "empty")


def test_a_clone_holds_what_was_pushed(clone, git_for, repo):
    grace = git_for("grace")
    grace.run("clone", "-q", grace.url(repo.repo_name), "copy")
    assert (grace.folder / "copy/a/b.txt").read_bytes() == b"one\n"
    assert grace.inside("copy").run("rev-parse", "HEAD") == clone.run("rev-parse", "HEAD")


def test_the_address_works_with_and_without_git_ending_and_signed_out(clone, git_for, repo):
    nobody = git_for(None)
    nobody.run("clone", "-q", nobody.url(repo.repo_name), "one")
    nobody.run("clone", "-q", nobody.url(repo.repo_name + ".git"), "two")
    assert (nobody.folder / "one/README.md").exists()
    assert (nobody.folder / "two/README.md").exists()


def test_a_shallow_clone_has_one_commit_and_can_be_deepened(clone, ada, repo):
    clone.commit({"c.txt": b"two\n"}, "Second")
    clone.run("push", "-q", "origin", "HEAD:main")
    ada.run("clone", "-q", "--depth=1", ada.url(repo.repo_name), "shallow")
    shallow = ada.inside("shallow")
    assert shallow.run("rev-list", "--count", "HEAD").strip() == "1"
    shallow.run("fetch", "-q", "--unshallow")
    assert shallow.run("rev-list", "--count", "HEAD").strip() == "2"


def test_a_partial_clone_fetches_blobs_on_demand(clone, ada, repo):
    ada.run("clone", "-q", "--filter=blob:none", "--no-checkout", ada.url(repo.repo_name), "partial")
    partial = ada.inside("partial")
    missing = partial.run("rev-list", "--objects", "--all", "--missing=print")
    assert missing.count("\n?") == 2
    assert partial.run("show", "HEAD:a/b.txt") == "one\n"


def test_a_single_branch_clone_has_only_that_branch(clone, ada, repo):
    clone.run("push", "-q", "origin", "HEAD:other")
    ada.run("clone", "-q", "--single-branch", "--branch=other", ada.url(repo.repo_name), "single")
    assert "refs/remotes/origin/main" not in heads(ada.inside("single"))


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_every_protocol_version_is_spoken(clone, ada, repo, version):
    ada.run("-c", f"protocol.version={version}", "clone", "-q", ada.url(repo.repo_name), f"v{version}")
    assert (ada.folder / f"v{version}/README.md").exists()


def test_a_large_negotiation_is_sent_gzipped_and_understood(clone, ada, repo):
    ada.run("clone", "-q", ada.url(repo.repo_name), "other")
    other = ada.inside("other")
    # Newer than everything the server has, so that they are offered first.
    other.env = {"GIT_COMMITTER_DATE": "2099-01-01T00:00:00Z"}
    for number in range(100):
        other.run("commit", "-q", "--allow-empty", "-m", f"local {number}")
    clone.commit({"new.txt": b"new\n"})
    clone.run("push", "-q", "origin", "HEAD:main")
    other.env = {"GIT_TRACE_CURL": "1"}
    assert (
        "content-encoding: gzip" in other.run("-c", "protocol.version=0", "fetch", "origin", "main").lower()
    )
    assert other.run("show", "origin/main:new.txt").endswith("new\n")


def test_internal_refs_are_hidden_and_pull_requests_are_not(clone, ada, repo, live_rt):
    git_repo = open_private(git_path(live_rt, repo))
    head = clone.run("rev-parse", "HEAD").strip()
    update_ref(git_repo, "refs/internal/keep", head, None)
    update_ref(git_repo, "refs/pr/1", head, None)
    listed = ada.run("ls-remote", ada.url(repo.repo_name))
    assert "refs/pr/1" in listed
    assert "refs/internal" not in listed


def test_datasets_spaces_and_kernels_have_prefixes(ada, make_repo):
    for kind in ("dataset", "space", "kernel"):
        made = make_repo(repo_type=kind)
        ada.run("clone", "-q", ada.url(made.repo_name, f"{kind}s/"), kind)
        inside = ada.inside(kind)
        inside.commit({"x.txt": b"x\n"})
        inside.run("push", "-q", "origin", "HEAD:main")
        ada.run("ls-remote", ada.url(made.repo_name), ok=False)
