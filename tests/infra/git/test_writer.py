from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pygit2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos.core.errors import BadRequest, Unprocessable
from llmos.infra.git.errors import EntryNotFound, PathConflict, RevisionNotFound
from llmos.infra.git.identity import Identity
from llmos.infra.git.objects import MAX_LOOSE_BYTES, ObjectWriter
from llmos.infra.git.refs import ANY, update_ref
from llmos.infra.git.writer import (
    EMPTY_TREE,
    AddBlob,
    Change,
    DeleteFile,
    DeleteFolder,
    apply_changes,
    create_commit,
)


@pytest.fixture
def writer(git_repo: pygit2.Repository) -> Iterator[ObjectWriter]:
    with ObjectWriter(git_repo) as writer:
        yield writer


def _files(git, tree: str) -> dict[str, str]:
    listed = git("ls-tree", "-r", "-z", tree).split("\0")[:-1]
    return {line.split("\t", 1)[1]: line.split()[2] for line in listed}


def _tree(writer: ObjectWriter, *paths: str, base: str | None = None) -> str:
    return apply_changes(writer, base, [AddBlob(path, writer.write_blob(path.encode())) for path in paths])


def test_blobs_have_gits_own_ids(writer, git) -> None:
    for data in (b"", b"hello\n", b"\0" * 100_000, bytes(range(256)) * 10_000):
        expected = git("hash-object", "--stdin", input_bytes=data).strip()
        assert writer.write_blob(data) == expected
        chunks = [data[at : at + 7000] for at in range(0, len(data), 7000)]
        assert writer.write_blob_stream(chunks, len(data)) == expected
    writer.flush()
    assert git("cat-file", "-s", expected).strip() == "2560000"
    git("fsck", "--strict")


@pytest.mark.parametrize("size", [9, 11, MAX_LOOSE_BYTES * 2])
def test_a_stream_of_another_length_is_refused_and_leaves_nothing(
    writer, git, repo_path: Path, size: int
) -> None:
    with pytest.raises(BadRequest, match="not the announced"):
        writer.write_blob_stream([b"12345", b"67890"], size)
    kept = writer.write_blob_stream([b"kept"], 4)
    writer.flush()
    git("fsck", "--strict")
    assert git("cat-file", "-p", kept) == "kept"
    assert not list(repo_path.glob("objects/pack/tmp_*"))


def test_many_objects_become_one_sound_pack_and_few_stay_loose(git_repo, git, repo_path: Path) -> None:
    with ObjectWriter(git_repo) as writer:
        few = _tree(writer, "a.txt", "b/c.txt")
        writer.flush()
    assert not list(repo_path.glob("objects/pack/*"))
    with ObjectWriter(git_repo) as writer:
        many = _tree(writer, *(f"d{number % 7}/f{number}" for number in range(500)))
        writer.flush()
    assert len(_files(git, few)) == 2
    assert len(_files(git, many)) == 500
    packs = list(repo_path.glob("objects/pack/*"))
    assert sorted(path.suffix for path in packs) == [".idx", ".pack"]
    git("verify-pack", *(str(path) for path in packs if path.suffix == ".idx"))
    # The index that git itself makes for this pack is the same, byte for byte.
    index, pack = sorted(packs)
    ours = index.read_bytes()
    git("index-pack", "-o", str(repo_path / "again.idx"), str(pack))
    assert (repo_path / "again.idx").read_bytes() == ours
    # A handle opened before the pack existed sees it.
    assert many in git_repo


def test_nothing_is_visible_or_left_without_flush(git_repo, repo_path: Path) -> None:
    with ObjectWriter(git_repo) as writer:
        tree = _tree(writer, *(f"f{number}" for number in range(100)))
        assert tree not in git_repo
    assert tree not in git_repo
    assert not [path for path in repo_path.rglob("objects/**/*") if path.is_file()]


def test_large_content_is_streamed_to_disk(git_repo, git) -> None:
    block = hashlib.sha256(b"x").digest() * 32768
    with ObjectWriter(git_repo) as writer:
        oid = writer.write_blob_stream((block for _ in range(12)), 12 * len(block))
        again = writer.write_blob_stream((block for _ in range(12)), 12 * len(block))
        writer.flush()
    assert oid == again
    assert git("cat-file", "-s", oid).strip() == str(12 * 1024 * 1024)
    git("fsck", "--strict")


def test_an_unchanged_tree_keeps_its_id(writer) -> None:
    base = _tree(writer, "a", "b/c")
    assert _tree(writer, "b/c", base=base) == base
    assert apply_changes(writer, base, []) == base
    assert apply_changes(writer, None, []) == EMPTY_TREE
    assert apply_changes(writer, base, [DeleteFolder("")]) == EMPTY_TREE


def test_deletions_and_empty_folders(writer, git) -> None:
    base = _tree(writer, "a", "b/c/d", "b/e", "f/g")
    for changes, left in [
        ([DeleteFile("b/c/d")], {"a", "b/e", "f/g"}),
        ([DeleteFile("f/g")], {"a", "b/c/d", "b/e"}),
        ([DeleteFolder("b/")], {"a", "f/g"}),
        ([DeleteFolder("b"), DeleteFile("b/e")], {"a", "f/g"}),
        ([DeleteFolder("b"), AddBlob("b/new", writer.write_blob(b""))], {"a", "b/new", "f/g"}),
        ([AddBlob("b/e", writer.write_blob(b"2")), DeleteFile("b/e")], {"a", "b/c/d", "b/e", "f/g"}),
        ([DeleteFolder("b"), AddBlob("b", writer.write_blob(b""))], {"a", "b", "f/g"}),
        ([AddBlob("a/x", writer.write_blob(b"")), DeleteFile("a")], {"a/x", "b/c/d", "b/e", "f/g"}),
    ]:
        tree = apply_changes(writer, base, changes)
        assert set(_paths(writer, tree)) == left


def _paths(writer: ObjectWriter, tree: str, prefix: str = "") -> Iterator[str]:
    from llmos.infra.git.treedata import read_entries

    for entry in read_entries(writer.read_tree(tree)):
        path = prefix + entry.name.decode()
        if entry.is_tree:
            yield from _paths(writer, entry.oid.hex(), path + "/")
        else:
            yield path


@pytest.mark.parametrize(
    "change",
    [
        DeleteFile("nope"), DeleteFile("b"), DeleteFile("a/x"), DeleteFile("b/nope"), DeleteFile(""),
        DeleteFile("/a"), DeleteFile("a/"), DeleteFile("x\0y"), DeleteFile("\ud800"),
        DeleteFile("x/" * 2000 + "y"), DeleteFolder("a"), DeleteFolder("nope"), DeleteFolder("b//c"),
        DeleteFolder("b/nope/"), DeleteFolder("../b"),
    ],
)  # fmt: skip
def test_a_missing_target_is_named(writer, change: Change) -> None:
    base = _tree(writer, "a", "b/c")
    with pytest.raises(EntryNotFound, match="with this name doesn't exist") as caught:
        apply_changes(writer, base, [change])
    assert caught.value.code == "EntryNotFound"


def test_the_message_for_a_missing_file_is_the_one_clients_know(writer) -> None:
    with pytest.raises(EntryNotFound, match="A file with this name doesn't exist"):
        apply_changes(writer, None, [DeleteFile("nope")])


@pytest.mark.parametrize(
    ("held", "added"),
    [
        ("a", ["a/b"]), ("a/b", ["a"]), (None, ["a", "a/b"]), (None, ["a/b", "a"]), ("a", ["a/b/c"]),
        ("README.md", ["readme.md"]), (None, ["x", "X"]), ("Docs/a", ["docs/b"]),
        ("é", ["e\u0301"]), ("Straße", ["STRASSE"]), (None, ["ab/c", "AB/d"]),
    ],
)  # fmt: skip
def test_paths_that_cannot_exist_together_are_refused(writer, held: str | None, added: list[str]) -> None:
    base = _tree(writer, held) if held else None
    with pytest.raises(PathConflict):
        _tree(writer, *added, base=base)


def test_a_rename_that_changes_only_case_is_allowed(writer) -> None:
    base = _tree(writer, "README.md")
    blob = writer.write_blob(b"")
    tree = apply_changes(writer, base, [AddBlob("readme.md", blob), DeleteFile("README.md")])
    assert list(_paths(writer, tree)) == ["readme.md"]


def test_names_that_collide_already_do_not_block_other_work(writer) -> None:
    from llmos.infra.git.treedata import MODE_FILE, RawEntry, format_tree

    blob = bytes.fromhex(writer.write_blob(b""))
    names = {name: RawEntry(name, MODE_FILE, blob) for name in (b"a", b"A")}
    base = writer.write("tree", format_tree(names))
    assert list(_paths(writer, _tree(writer, "b", base=base))) == ["A", "a", "b"]


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a//b", "a/", "./a", "a/../b", ".git/config", "a/.GIT/x", ".g\u200cit/config", "..\\ddd",
     "a\0b", "git~1/x", "x/" * 200 + "y", "\ud800"],
)  # fmt: skip
def test_unusable_paths_are_refused(writer, path: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        apply_changes(writer, None, [AddBlob(path, EMPTY_TREE)])
    assert caught.value.status == 422


def test_a_folders_mode_is_not_a_files(writer) -> None:
    with pytest.raises(Unprocessable, match="mode"):
        apply_changes(writer, None, [AddBlob("a", EMPTY_TREE, 0o40000)])


def test_an_unknown_base_is_not_found(writer) -> None:
    for oid in ("0" * 40, writer.git_repo.create_blob(b"x").__str__()):
        with pytest.raises(RevisionNotFound):
            apply_changes(writer, oid, [AddBlob("a", EMPTY_TREE)])


def test_a_commit_is_the_one_git_would_make(git_repo, writer, git) -> None:
    zone = timezone(timedelta(hours=-3, minutes=-30))
    ada = Identity("Ada <evil>\nLovelace.", "ada@example.org", datetime(2026, 5, 1, 12, tzinfo=zone))
    grace = Identity("", "", datetime(1960, 1, 1, tzinfo=timezone(timedelta(hours=8))))
    tree = _tree(writer, "a")
    first = create_commit(writer, tree, [], author=ada, committer=grace, message="Läuft\r\n\r\nja\0")
    second = create_commit(writer, tree, [first], author=ada, committer=ada, message="")
    writer.flush()
    update_ref(git_repo, "refs/heads/main", second, ANY)
    git("fsck", "--strict")
    assert git("cat-file", "-p", first).splitlines()[1:] == [
        "author Ada evilLovelace <ada@example.org> 1777649400 -0330",
        "committer unknown <> 0 +0800",
        "",
        "Läuft",
        "",
        "ja",
    ]
    assert git("log", "--format=%H").split() == [second, first]


def test_times_without_a_zone_are_refused(writer) -> None:
    nowhere = Identity("Ada", "ada@example.org", datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="time zone"):
        create_commit(writer, EMPTY_TREE, [], author=nowhere, committer=nowhere, message="x")


# -- random changes against a plain dictionary, git as the judge ------------------------------

_SEGMENT = st.sampled_from(["a", "b", "c", "ab", "a.b", "a-b", "a0", "日", "b b", "%3F", "x:y"])
_PATH = st.lists(_SEGMENT, min_size=1, max_size=4).map("/".join)
_STEP = st.tuples(st.sampled_from(["add", "add", "add", "delete", "rmdir"]), _PATH, st.binary(max_size=3))


def _expected(files: dict[str, bytes], steps: list[tuple[str, str, bytes]]) -> dict[str, bytes] | None:
    """What the changes mean, computed without trees; None where they must be refused."""
    left = dict(files)
    for verb, path, _ in steps:
        if verb == "delete":
            if path not in files:
                return None
            left.pop(path, None)
        elif verb == "rmdir":
            below = [name for name in files if name.startswith(path + "/")]
            if not below:
                return None
            for name in below:
                left.pop(name, None)
    left |= {path: data for verb, path, data in steps if verb == "add"}
    folders = {path[:at] for path in left for at, char in enumerate(path) if char == "/"}
    return None if folders & left.keys() else left


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(rounds=st.lists(st.lists(_STEP, max_size=12), min_size=1, max_size=4))
def test_random_changes_give_the_tree_they_describe(git_repo, git, rounds) -> None:
    files: dict[str, bytes] = {}
    tree: str | None = None
    for steps in rounds:
        expected = _expected(files, steps)
        with ObjectWriter(git_repo) as writer:
            changes: list[Change] = []
            for verb, path, data in steps:
                if verb == "add":
                    changes.append(AddBlob(path, writer.write_blob(data)))
                else:
                    changes.append(DeleteFile(path) if verb == "delete" else DeleteFolder(path))
            if expected is None:
                with pytest.raises((EntryNotFound, PathConflict)):
                    apply_changes(writer, tree, changes)
                continue
            tree = apply_changes(writer, tree, changes)
            writer.flush()
        files = expected
        blobs = {path: str(pygit2.hash(data)) for path, data in files.items()}
        assert _files(git, tree) == blobs
    git("fsck", "--strict")


def test_new_content_keeps_the_executable_bit_unless_a_mode_is_given(writer, git) -> None:
    def put(base: str | None, text: bytes, mode: int | None = None) -> str:
        return apply_changes(writer, base, [AddBlob("bin/run.sh", writer.write_blob(text), mode)])

    first = put(None, b"echo 1", 0o100755)
    edited, reset, fresh = put(first, b"echo 2"), put(first, b"echo 3", 0o100644), put(None, b"echo 4")
    link = put(None, b"elsewhere", 0o120000)
    over_link = put(link, b"echo 5")
    writer.flush()
    modes = [git("ls-tree", "-r", tree).split()[0] for tree in (first, edited, reset, fresh, over_link)]
    assert modes == ["100755", "100755", "100644", "100644", "100644"]
