from __future__ import annotations

import pytest

from llmos.infra.git.commits import get_commit
from llmos.infra.git.errors import RevisionNotFound
from llmos.infra.git.merge import ahead_behind, is_ancestor, merge_base, merge_commits, merge_trees
from llmos.infra.git.objects import ObjectWriter
from llmos.infra.git.treedata import MODE_FILE, RawEntry, format_tree

LINES = [b"line %d\n" % number for number in range(20)]


def _with(number: int, text: bytes) -> bytes:
    return b"".join([*LINES[:number], text, *LINES[number + 1 :]])


def test_distances_and_bases(git_repo, commit) -> None:
    base = commit({"a": b"0"})
    left = commit({"a": b"1"})
    right = commit({"b": b"1"}, branch="side", parents=[base])
    right = commit({"b": b"2"}, branch="side")
    other = commit({"z": b"1"}, branch="other", parents=[])
    assert merge_base(git_repo, left, right) == base
    assert merge_base(git_repo, left, other) is None
    assert ahead_behind(git_repo, left, right) == (1, 2)
    assert is_ancestor(git_repo, base, right)
    assert is_ancestor(git_repo, base, base)
    assert not is_ancestor(git_repo, left, right)
    with pytest.raises(RevisionNotFound):
        merge_base(git_repo, left, "0" * 40)


def test_changes_of_both_sides_join(git_repo, commit, git) -> None:
    base = commit({"a": b"".join(LINES), "gone": b"x"})
    left = commit({"a": _with(2, b"LEFT\n")})
    right = commit({"a": _with(17, b"RIGHT\n"), "new": b"n"}, delete=["gone"], branch="side", parents=[base])
    merged = merge_commits(git_repo, left, right)
    assert merged.conflicts == ()
    expected = git("merge-tree", "--write-tree", left, right).strip()
    assert merged.tree == expected
    assert git("ls-tree", "--name-only", merged.tree).split() == ["a", "new"]
    trees = [get_commit(git_repo, oid).tree for oid in (base, left, right)]
    assert merge_trees(git_repo, *trees).tree == expected


def test_conflicts_name_their_paths_and_write_no_tree(git_repo, commit) -> None:
    base = commit({"a": b"".join(LINES), "d/b": b"0", "c": b"0"})
    left = commit({"a": _with(2, b"LEFT\n"), "d/b": b"1", "c": b"same"})
    right = commit({"a": _with(2, b"RIGHT\n"), "c": b"same"}, delete=["d/b"], branch="side", parents=[base])
    merged = merge_commits(git_repo, left, right)
    assert merged.tree is None
    assert merged.conflicts == ("a", "d/b")


def test_unrelated_histories_merge_as_if_they_began_empty(git_repo, commit, git) -> None:
    left = commit({"a": b"1"})
    right = commit({"b": b"2"}, branch="side", parents=[])
    merged = merge_commits(git_repo, left, right)
    assert git("ls-tree", "--name-only", merged.tree).split() == ["a", "b"]


def test_conflicts_at_names_that_are_not_utf8_are_reported(git_repo, ada) -> None:
    with ObjectWriter(git_repo) as writer:
        trees = []
        for text in (b"base\n", b"left\n", b"right\n"):
            blob = bytes.fromhex(writer.write_blob(text))
            trees.append(writer.write("tree", format_tree({b"\xff": RawEntry(b"\xff", MODE_FILE, blob)})))
        writer.flush()
    merged = merge_trees(git_repo, *trees)
    assert (merged.tree, merged.conflicts) == (None, ("\ufffd",))
