from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos.infra.git.errors import EntryNotFound, RevisionNotFound
from llmos.infra.git.objects import ObjectWriter
from llmos.infra.git.pointers import LfsPointer, format_pointer
from llmos.infra.git.treedata import MODE_FILE, MODE_SUBMODULE, MODE_SYMLINK, RawEntry, format_tree
from llmos.infra.git.trees import (
    access_entry,
    entries_for_paths,
    get_entry,
    iter_tree,
    list_tree,
    read_blob,
    total_size,
)
from llmos.infra.git.writer import create_commit

SHA = "ab" * 32


def _all_pages(git_repo, commit: str, path: str = "", *, recursive: bool, limit: int) -> list:
    entries, cursor = [], None
    while True:
        page = list_tree(git_repo, commit, path, recursive=recursive, after=cursor, limit=limit)
        assert len(page.entries) <= limit
        entries += page.entries
        cursor = page.next_cursor
        if cursor is None:
            return entries


def _oracle(git, commit: str, *options: str) -> list[tuple[str, str, str]]:
    listed = git("ls-tree", "-z", *options, commit).split("\0")[:-1]
    rows = [(line.split("\t", 1)[1], line.split()) for line in listed]
    return [(path, facts[2], facts[3] if "-l" in options else "") for path, facts in rows]


def test_entries_carry_type_size_and_pointer(git_repo, commit) -> None:
    pointer = format_pointer(SHA, 5_000_000_000)
    oid = commit({"README.md": b"hello", "model.safetensors": pointer, "dir/x": b"1234"})
    readme, model, folder = (
        get_entry(git_repo, oid, name) for name in ("README.md", "model.safetensors", "dir/")
    )
    assert (readme.type, readme.size, readme.lfs, readme.mode) == ("file", 5, None, 0o100644)
    assert model.lfs == LfsPointer(SHA, 5_000_000_000, len(pointer))
    assert (model.size, model.content_size) == (len(pointer), 5_000_000_000)
    assert (folder.type, folder.size, folder.path) == ("directory", 0, "dir")
    total = total_size(git_repo, oid)
    assert (total.file_count, total.size_bytes) == (3, 5_000_000_009)
    assert total_size(git_repo, oid, "dir").size_bytes == 4
    assert read_blob(git_repo, readme.oid) == b"hello"


@pytest.mark.parametrize(
    "path",
    ["nope", "README.md/x", "dir/nope", "", "/", "a\0b", "\ud800", "..", "x/" * 3000, "dir//x", "/dir"],
)
def test_what_does_not_exist_is_not_found(git_repo, commit, path: str) -> None:
    oid = commit({"README.md": b"hello", "dir/x": b"1"})
    assert get_entry(git_repo, oid, path) is None
    with pytest.raises(EntryNotFound) as caught:
        access_entry(git_repo, oid, path)
    assert caught.value.status == 404


def test_missing_paths_are_left_out_of_an_answer(git_repo, commit) -> None:
    oid = commit({"a": b"1", "b/c": b"2"})
    found = entries_for_paths(git_repo, oid, ["b/c", "nope", "b", "a", "b/nope"])
    assert [entry.path for entry in found] == ["b/c", "b", "a"]


def test_only_folders_of_commits_are_listed(git_repo, commit) -> None:
    oid = commit({"a": b"1", "b/c": b"2"})
    for path in ("a", "nope", "b/c", "b/c/d"):
        with pytest.raises(EntryNotFound):
            list_tree(git_repo, oid, path)
    for rev in ("0" * 40, get_entry(git_repo, oid, "a").oid, "x"):
        with pytest.raises(RevisionNotFound):
            list_tree(git_repo, rev)
    with pytest.raises(EntryNotFound):
        read_blob(git_repo, oid)


_NAME = st.sampled_from(["a", "a-", "a.b", "a0", "b", "B", "日", "a b", "%", "a%2Fb", "z"])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    paths=st.sets(st.lists(_NAME, min_size=1, max_size=4).map(tuple), min_size=1, max_size=25),
    limit=st.integers(1, 6),
)
def test_pages_of_any_size_give_gits_own_listing(git_repo, commit, git, paths, limit) -> None:
    files: dict[str, bytes] = {}
    for parts in sorted(paths):
        path = "/".join(parts)
        above = {"/".join(parts[:end]) for end in range(1, len(parts))}
        lowered = {name.lower() for name in files}
        if not above & files.keys() and path.lower() not in lowered and "B" not in parts:
            files[path] = path.encode()
    if not files:
        return
    oid = commit(files, parents=[])
    for recursive in (False, True):
        options = ["-l", "-r", "-t"] if recursive else ["-l"]
        expected = _oracle(git, oid, *options)
        listed = _all_pages(git_repo, oid, recursive=recursive, limit=limit)
        assert [(entry.path, entry.oid) for entry in listed] == [row[:2] for row in expected]
        sizes = [str(entry.size) if entry.type == "file" else "-" for entry in listed]
        assert sizes == [row[2] for row in expected]
    folder = next((path.rpartition("/")[0] for path in files if "/" in path), None)
    if folder:
        inside = _all_pages(git_repo, oid, folder, recursive=True, limit=limit)
        whole = [entry for entry in listed if entry.path.startswith(folder + "/")]
        assert inside == whole


def test_a_cursor_for_something_gone_goes_on_after_its_place(git_repo, commit) -> None:
    oid = commit({"a": b"", "c/x": b"", "c/z": b"", "d": b""})
    page = list_tree(git_repo, oid, recursive=True, after="c/y", limit=10)
    assert [entry.path for entry in page.entries] == ["c/z", "d"]
    page = list_tree(git_repo, oid, recursive=True, after="b/q/r", limit=10)
    assert [entry.path for entry in page.entries] == ["c", "c/x", "c/z", "d"]


def test_odd_entries_made_by_git_are_listed_once(git_repo, ada) -> None:
    with ObjectWriter(git_repo) as writer:
        blob = bytes.fromhex(writer.write_blob(b"target"))
        raw = [
            RawEntry(b"\xff\xfe", MODE_FILE, blob),
            RawEntry(b"\xff\xfd", MODE_FILE, blob),
            RawEntry(b"link", MODE_SYMLINK, blob),
            RawEntry(b"module", MODE_SUBMODULE, b"\1" * 20),
        ]
        tree = writer.write("tree", format_tree({entry.name: entry for entry in raw}))
        oid = create_commit(writer, tree, [], author=ada, committer=ada, message="Odd")
        writer.flush()
    listed = _all_pages(git_repo, oid, recursive=True, limit=1)
    assert [(entry.path, entry.type, entry.size) for entry in listed] == [
        ("link", "symlink", 6),
        ("module", "submodule", 0),
        ("\ufffd\ufffd", "file", 6),
        ("\ufffd\ufffd", "file", 6),
    ]
    assert total_size(git_repo, oid).file_count == 3


def test_walking_a_large_repository_needs_little_memory(git_repo, commit) -> None:
    oid = commit({f"d{number % 100}/f{number}": b"" for number in range(10_000)})
    tracemalloc.start()
    count = sum(1 for _ in iter_tree(git_repo, oid))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 10_100
    assert peak_bytes < 2_000_000
