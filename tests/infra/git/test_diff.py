from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos.infra.git.diff import DiffLimits, diff_commit, diff_commits, raw_diff

TEXT = b"".join(b"line %d\n" % number for number in range(50))


def test_every_kind_of_change_is_told_apart(git_repo, commit) -> None:
    commit({"keep": b"same\n", "edit": TEXT, "old-name": TEXT + b"x\n", "gone": b"1\n2\n", "bin": b"\0\1"})
    head = commit(
        {"edit": TEXT.replace(b"line 7\n", b"LINE 7\nmore\n"), "new-name": TEXT + b"y\n", "bin": b"\0\2",
         "added": b"hi"},
        delete=["old-name", "gone"],
    )  # fmt: skip
    diff = diff_commit(git_repo, head)
    files = {file.new_path: file for file in diff.files}
    assert {path: file.status for path, file in files.items()} == {
        "added": "added", "bin": "modified", "edit": "modified", "gone": "deleted", "new-name": "renamed",
    }  # fmt: skip
    assert files["new-name"].old_path == "old-name"
    assert (files["edit"].additions, files["edit"].deletions) == (2, 1)
    assert files["bin"].is_binary
    assert files["bin"].hunks == ()
    assert files["added"].old_oid is None
    assert files["gone"].new_oid is None
    hunk = files["edit"].hunks[0]
    assert (hunk.old_start, hunk.old_lines, hunk.new_lines) == (5, 7, 8)
    changed = [(line.origin, line.old_line, line.new_line, line.text) for line in hunk.lines]
    assert changed[3:6] == [("-", 8, None, "line 7"), ("+", None, 8, "LINE 7"), ("+", None, 9, "more")]
    assert not diff.truncated
    assert (diff.file_count, diff.additions, diff.deletions) == (5, 4, 4)


def test_the_first_commit_is_compared_with_nothing(git_repo, commit) -> None:
    diff = diff_commit(git_repo, commit({"a": b"1\n", "b/c": b"2\n"}))
    assert [(file.status, file.new_path, file.additions) for file in diff.files] == [
        ("added", "a", 1),
        ("added", "b/c", 1),
    ]


def test_limits_leave_out_and_say_so(git_repo, commit) -> None:
    head = commit({f"f{number}": TEXT for number in range(5)} | {"huge": b"x\n" * 1000})
    few = diff_commit(git_repo, head, DiffLimits(max_files=2))
    assert (len(few.files), few.file_count, few.truncated) == (2, 6, True)
    short = diff_commit(git_repo, head, DiffLimits(max_file_lines=10))
    assert [sum(len(hunk.lines) for hunk in file.hunks) for file in short.files] == [10] * 6
    assert [file.additions for file in short.files][:5] == [50] * 5
    assert all(file.truncated for file in short.files)
    total = diff_commit(git_repo, head, DiffLimits(max_lines=75))
    assert [sum(len(hunk.lines) for hunk in file.hunks) for file in total.files] == [50, 25, 0, 0, 0, 0]
    small = diff_commit(git_repo, head, DiffLimits(max_blob_bytes=1000))
    assert [file.new_path for file in small.files if file.truncated] == ["huge"]
    assert diff_commit(git_repo, head, DiffLimits(budget_s=0)).truncated


def test_the_raw_patch_applies(git_repo, commit, git, tmp_path) -> None:
    first = commit({"a": TEXT, "bin": bytes(range(256))})
    second = commit({"a": TEXT + b"end", "bin": bytes(range(255)), "new": b"x"})
    patch, is_cut = raw_diff(git_repo, first, second)
    assert not is_cut
    assert patch.decode() == git("diff", "-p", "-M", "--binary", "--full-index", first, second)
    assert raw_diff(git_repo, None, first)[0].count(b"new file mode") == 2
    cut, is_cut = raw_diff(git_repo, first, second, max_bytes=100)
    assert (cut, is_cut) == (patch[:100], True)


_FILES = st.dictionaries(
    st.sampled_from(["a", "b", "c/d", "c/e"]),
    st.lists(st.sampled_from([b"1\n", b"2\n", b"3\n"]), max_size=8).map(b"".join),
    min_size=1,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=_FILES, after=_FILES)
def test_counts_are_gits(git_repo, commit, git, before, after) -> None:
    old, new = commit(before, parents=[]), commit(after, parents=[])
    listed = git("diff", "--numstat", "--no-renames", old, new).splitlines()
    expected = sum(int(line.split("\t")[0]) - int(line.split("\t")[1]) for line in listed)
    diff = diff_commits(git_repo, old, new)
    assert diff.additions - diff.deletions == expected


def test_text_in_another_encoding_is_shown_with_marks(git_repo, commit) -> None:
    lines = [b"d\xe9f %d\n" % number for number in range(30)]
    commit({"a": b"".join(lines)})
    lines[20] = b"\xff changed\n"
    head = commit({"a": b"".join(lines)})
    hunk = diff_commit(git_repo, head).files[0].hunks[0]
    assert hunk.header.startswith("@@ -18,7 +18,7 @@ d")
    assert hunk.lines[4].text == "\ufffd changed"
