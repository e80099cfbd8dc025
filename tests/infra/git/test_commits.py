from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos.infra.git import commits as commits_module
from llmos.infra.git.commits import blame, count_commits, get_commit, list_commits
from llmos.infra.git.errors import RevisionNotFound
from llmos.infra.git.lastcommits import last_commit_for_entries
from llmos.infra.git.refs import ANY, update_ref


def test_a_commit_is_read_whole(git_repo, commit) -> None:
    first = commit({"a": b"1"}, message="First")
    oid = commit({"a": b"2"}, message="Title \n\nBody\n\nmore")
    info = get_commit(git_repo, oid)
    assert (info.title, info.body, info.parents) == ("Title", "Body\n\nmore", (first,))
    assert (info.author_name, info.author_email) == ("Ada Lovelace", "ada@example.org")
    assert info.committed_at == info.authored_at == datetime(2026, 1, 1, 0, 2, tzinfo=UTC)
    for unknown in ("0" * 40, info.tree, "x"):
        with pytest.raises(RevisionNotFound):
            get_commit(git_repo, unknown)


def test_damaged_facts_of_a_foreign_commit_are_survived(git_repo, commit, git) -> None:
    tree = get_commit(git_repo, commit({"a": b"1"})).tree
    raw = (
        b"tree " + tree.encode() + b"\nauthor \xff <> 99999999999999999 +0000\n"
        b"committer B <b> 1 +9959\nencoding latin1\n\n\xe9t\xe9\n"
    )
    oid = git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", input_bytes=raw).strip()
    info = get_commit(git_repo, oid)
    assert info.authored_at.tzinfo is not None
    assert info.title == "\ufffdt\ufffd"


def test_history_is_paged_in_gits_order(git_repo, commit, git) -> None:
    base = commit({"a": b"0"})
    for number in range(5):
        commit({"a": b"%d" % number})
    side = commit({"b": b"1"}, branch="side", parents=[base])
    merged = commit({"b": b"1"}, parents=[git("rev-parse", "main").strip(), side])
    expected = git("log", "--format=%H", "main").split()
    listed = [
        info.oid for skip in range(0, 9, 3) for info in list_commits(git_repo, merged, skip=skip, limit=3)
    ]
    assert listed == expected
    assert count_commits(git_repo, merged) == len(expected) == 8
    assert count_commits(git_repo, base) == 1
    assert list_commits(git_repo, merged, skip=100) == []


def test_history_of_a_path_is_what_git_says(git_repo, commit, git) -> None:
    commit({"a": b"0", "dir/x": b"0", "*": b"0", "-n": b"0"})
    commit({"a": b"1"})
    head = commit({"dir/x": b"1", "-n": b"1"})
    for path in ("a", "dir", "dir/x", "*", "-n", "nope"):
        expected = git("log", "--format=%H", "main", "--", path).split()
        assert [info.oid for info in list_commits(git_repo, head, path=path)] == expected
        assert count_commits(git_repo, head, path) == len(expected)
    assert count_commits(git_repo, head, "*") == 1


def test_counts_are_remembered(git_repo, commit, monkeypatch) -> None:
    head = commit({"a": b"0"})
    assert count_commits(git_repo, head) == 1
    monkeypatch.setattr(commits_module, "run_git", None)
    assert count_commits(git_repo, head) == 1


def test_blame_names_the_commit_of_every_line(git_repo, commit) -> None:
    first = commit({"dir/a": b"one\ntwo\nthree\n"})
    second = commit({"dir/a": b"one\n2\nthree\nfour\n"})
    hunks = blame(git_repo, second, "dir/a")
    owners = {hunk.first_line + at: hunk.commit for hunk in hunks for at in range(hunk.line_count)}
    assert owners == {1: first, 2: second, 3: first, 4: second}


_STEP = st.tuples(
    st.sampled_from(["edit", "delete", "branch", "merge"]),
    st.sampled_from(["a", "b", "d/x", "d/y", "d/e/z"]),
    st.integers(0, 3),
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(_STEP, min_size=1, max_size=14), seed=st.integers(0, 99))
def test_last_commits_are_those_of_git_log(git_repo, commit, git, steps, seed) -> None:
    chance = random.Random(seed)
    heads = [commit({"a": b"%d" % seed, "d/x": b"0", "d/e/z": b"0"}, parents=[])]
    for verb, path, value in steps:
        at = chance.randrange(len(heads))
        held = git("ls-tree", "-r", "--name-only", heads[at]).split()
        if verb == "edit":
            heads[at] = commit({path: b"%d" % value}, parents=[heads[at]])
        elif verb == "delete" and path in held and len(held) > 1:
            heads[at] = commit(delete=[path], parents=[heads[at]])
        elif verb == "branch":
            heads.append(heads[at])
        elif verb == "merge":
            other = heads[chance.randrange(len(heads))]
            heads[at] = commit({path: b"m%d" % value}, parents=[heads[at], other])
    head = heads[0]
    update_ref(git_repo, "refs/heads/main", head, ANY)
    for folder in ("", "d", "d/e"):
        listed = git("ls-tree", "--name-only", f"{head}:{folder}").split() if _has(git, head, folder) else []
        expected = {
            name: git("log", "-1", "--format=%H", head, "--", f"{folder}/{name}".strip("/")).strip()
            for name in listed
        }
        assert last_commit_for_entries(git_repo, head, folder, [*listed, "nope"], budget_s=60) == expected


def _has(git, head: str, folder: str) -> bool:
    return not folder or bool(git("ls-tree", "-d", head, folder))


def test_a_used_up_budget_leaves_the_rest_out(git_repo, commit) -> None:
    commit({"a": b"0", "b": b"0"})
    head = commit({"a": b"1"})
    assert last_commit_for_entries(git_repo, head, "", ["a", "b"], budget_s=0) == {}
    assert set(last_commit_for_entries(git_repo, head, "", ["a", "b"])) == {"a", "b"}
    # Found once, it costs no time any more.
    assert last_commit_for_entries(git_repo, head, "", ["a"], budget_s=0) == {"a": head}
