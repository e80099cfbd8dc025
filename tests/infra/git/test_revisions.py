from __future__ import annotations

import subprocess
from collections.abc import Callable

import pygit2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos.infra.git.errors import InvalidRef, RevisionNotFound
from llmos.infra.git.process import git_environment
from llmos.infra.git.refs import ANY, create_branch, create_tag, update_ref
from llmos.infra.git.revisions import (
    check_branch_name,
    check_tag_name,
    list_refs,
    resolve,
)


def test_every_kind_of_revision_leads_to_its_commit(git_repo, commit, ada, git) -> None:
    first = commit({"a.txt": b"1"})
    second = commit({"a.txt": b"2"})
    create_tag(git_repo, "v1", first)
    create_tag(git_repo, "v2", first, message="Second", tagger=ada)
    update_ref(git_repo, "refs/pr/1", first, None)
    update_ref(git_repo, "refs/convert/parquet", first, None)
    for rev in ("v1", "v2", "refs/tags/v2", "refs/pr/1", "refs/convert/parquet", first):
        assert resolve(git_repo, rev) == first
    for rev in ("main", "HEAD", "refs/heads/main", second[:7], second[:12].upper()):
        assert resolve(git_repo, rev) == second
    assert git("rev-parse", "v2^{commit}").strip() == first
    git("fsck", "--strict")


def test_a_branch_wins_over_a_tag_of_the_same_name(git_repo, commit) -> None:
    first = commit({"a.txt": b"1"})
    second = commit({"a.txt": b"2"})
    create_tag(git_repo, "both", first)
    create_branch(git_repo, "both", second)
    assert resolve(git_repo, "both") == second
    assert resolve(git_repo, "refs/tags/both") == first


@pytest.mark.parametrize(
    "rev",
    [
        "", "nope", "main^", "main~1", "main:a.txt", "main..main", "main@{0}", "@", "@{-1}",
        "^main", "main^{tree}", ":/Change", "-main", "../main", "refs/heads/../tags/v1", "refs",
        "refs/internal/x", "refs/pr/0", "refs/pr/x", "main\n", "main\0", "a" * 5000, "\ud800",
        "main/x", "heads/main", "config", "packed-refs", "objects", "0" * 40, "ffffffff", "abc",
    ],
)  # fmt: skip
def test_expressions_and_unknown_names_are_not_found(git_repo, commit, rev: str) -> None:
    commit({"a.txt": b"1"})
    with pytest.raises(RevisionNotFound):
        resolve(git_repo, rev)


def test_ids_of_trees_and_files_are_not_revisions(git_repo, commit, git) -> None:
    commit({"a.txt": b"1"})
    for expression in ("main^{tree}", "main:a.txt"):
        oid = git("rev-parse", expression).strip()
        for rev in (oid, oid[:10]):
            with pytest.raises(RevisionNotFound):
                resolve(git_repo, rev)


def test_an_ambiguous_prefix_means_the_only_commit_or_nothing(git_repo, commit) -> None:
    oid = commit({"a.txt": b"1"})
    wanted = oid[:7]
    # Four hex characters collide after some hundred blobs; resolve itself asks for seven.
    number = 0
    while True:
        blob = str(pygit2.hash(b"%d" % number))
        if blob[:4] == wanted[:4]:
            break
        number += 1
    git_repo.create_blob(b"%d" % number)
    with pytest.raises(ValueError, match="ambiguous"):
        git_repo.expand_id(wanted[:4])
    assert resolve(git_repo, wanted) == oid


def test_refs_are_listed_in_groups_with_their_commits(git_repo, commit, ada) -> None:
    oid = commit({"a.txt": b"1"})
    for name in ("zeta", "alpha", "feature/x"):
        create_branch(git_repo, name, oid)
    create_tag(git_repo, "v1", oid, message="One", tagger=ada)
    for number in (10, 9, 1):
        update_ref(git_repo, f"refs/pr/{number}", oid, ANY)
    update_ref(git_repo, "refs/convert/parquet", oid, ANY)
    update_ref(git_repo, "refs/internal/keep", oid, ANY)
    refs = list_refs(git_repo)
    assert [ref.name for ref in refs.branches] == ["alpha", "feature/x", "main", "zeta"]
    assert [ref.name for ref in refs.pulls] == ["1", "9", "10"]
    assert [ref.ref for ref in refs.converts] == ["refs/convert/parquet"]
    assert refs.tags[0].target == oid
    assert refs.tags[0].tag_oid not in (None, oid)
    every = [*refs.branches, *refs.tags, *refs.pulls, *refs.converts]
    assert {ref.target for ref in every} == {oid}


def _git_accepts(name: str) -> bool:
    done = subprocess.run(
        ["git", "check-ref-format", f"refs/heads/{name}".encode()],
        env=git_environment(),
        check=False,
    )
    return done.returncode == 0


_NAMES = st.text(st.sampled_from("ab.-/@{}~^:?*[\\ \x7f\tlock") | st.characters(), max_size=12)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(_NAMES.filter(lambda name: "\0" not in name and (name.isprintable() or "\t" in name)))
def test_names_are_judged_as_git_judges_them(name: str) -> None:
    if any(0xD800 <= ord(char) <= 0xDFFF for char in name):
        return
    ours = True
    try:
        check_branch_name(name)
    except InvalidRef:
        ours = False
    stricter = not name or name.startswith(("-", "refs/")) or name in {"@", "HEAD"}
    if ours:
        assert _git_accepts(name)
    elif not stricter:
        assert not _git_accepts(name)


@pytest.mark.parametrize("name", ["main", "feature/x", "v1.0", "日本", "a-b_c", "1"])
def test_ordinary_names_are_accepted(name: str) -> None:
    assert check_branch_name(name) == name
    assert check_tag_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "-x", "HEAD", "a..b", "a b", "x.lock", ".x", "a//b", "f" * 40, "é" * 200, "refs/x"]
)
def test_bad_names_are_refused_with_the_rule(name: str) -> None:
    with pytest.raises(InvalidRef, match="Invalid reference for a tag") as caught:
        check_tag_name(name)
    assert caught.value.status == 400


def test_an_unborn_branch_is_not_found(git_repo: pygit2.Repository, git: Callable[..., str]) -> None:
    for rev in ("HEAD", "main"):
        with pytest.raises(RevisionNotFound):
            resolve(git_repo, rev)
    assert list_refs(git_repo).branches == []
