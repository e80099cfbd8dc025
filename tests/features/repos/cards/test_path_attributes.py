"""Large-file and ignore patterns, with git itself as the judge."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.features.repos.cards.attributes import (
    add_lfs_pattern,
    default_gitattributes,
    is_ignored,
    is_lfs_path,
    lfs_pattern,
    sniff_binary,
)

PATHS = [
    *("a", "a.bin", "sub/a.bin", "a.tar.gz", "a.tar", "tar", "b.lfs.x", "x/y/z.txt", "x/z.txt"),
    *("saved_model/a", "saved_model/a/b/c", "x/saved_model/a", "events.out.tfevents.1", "a b.txt"),
    *("runs/x.tfevents", "[x].txt", "x*y.txt", "star/x*y.txt", "#h", "!h", "x/#h", "dir/a/b/c.py"),
    *(
        "A.BIN",
        "-",
        "a-c",
        "b",
        "ab",
        "abc",
        "quo te.bin",
        ".hidden",
        "dir/.hidden",
        "dir/a",
        "é.md",
        "no\u00a0break",
        "unit\x1fsep",
        "v\x0btab",
    ),
]
PATTERNS = [
    *("*.bin", "*.tar.*", "saved_model/**/*", "*tfevents*", "*.lfs.*", "/a.bin", "sub/*.bin", "x/**"),
    *("**/z.txt", "x/**/z.txt", "dir/", "dir", "dir/*", "**", "*", "?", "[ab]", "[!ab]", "[a-c]*"),
    *("[[:alpha:]]", "a[[:space:]]b.txt", "\\#h", "\\!h", "x\\*y.txt", "x[*]y.txt", "[[]x].txt"),
    *("**/", "a/**/b", "/**/a", "dir/**/c.py", "[", "a\\", "[]-]", "[^a]", ".*", "A.bin", "é.md"),
]


@pytest.fixture(scope="module")
def git_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attributes")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


def ask_git(folder: Path, *command: str) -> list[str]:
    env = {"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    stdin = "\0".join(PATHS).encode() + b"\0"
    done = subprocess.run(
        ["git", "-C", str(folder), *command], input=stdin, capture_output=True, env=env, check=False
    )
    return done.stdout.decode().split("\0")


def git_lfs_paths(folder: Path, attributes: str) -> set[str]:
    (folder / ".gitattributes").write_text(attributes)
    out = ask_git(folder, "check-attr", "-z", "--stdin", "filter")
    (folder / ".gitattributes").unlink()
    return {path for path, value in zip(out[::3], out[2::3], strict=False) if value == "lfs"}


def git_ignored_paths(folder: Path, ignore: str) -> set[str]:
    (folder / ".gitignore").write_text(ignore)
    out = ask_git(folder, "check-ignore", "--no-index", "-z", "--stdin")
    (folder / ".gitignore").unlink()
    return set(out) - {""}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_agree_with_git(git_folder: Path, pattern: str) -> None:
    attributes = f"{pattern} filter=lfs\n"
    lfs = {path for path in PATHS if is_lfs_path(attributes, path)}
    assert lfs == git_lfs_paths(git_folder, attributes)
    ignore = f"# note\n\n{pattern}\n"
    assert {p for p in PATHS if is_ignored(ignore, p)} == git_ignored_paths(git_folder, ignore)


@pytest.mark.parametrize(
    "attributes",
    [
        "*.bin filter=lfs diff=lfs\n*.bin -filter\n",
        "*.bin -filter\n*.bin filter=lfs\n",
        "*.bin filter=lfs\nsub/*.bin !filter\n",
        "*.bin filter=lfs\n*.bin text\n",
        "*.bin filter=other\n",
        "# *.bin filter=lfs\n",
        '"quo te.bin" filter=lfs\n',
        '"a\\040b.txt" filter=lfs\n',
        "!h filter=lfs\n",
        "*.bin filter=lfs\r\n",
        "  *.bin   filter=lfs",
        "*.bin\n",
        "*.bin filter\n",
        "[attr]big filter=lfs\n",
    ],
)
def test_attribute_lines_agree_with_git(git_folder: Path, attributes: str) -> None:
    lfs = {path for path in PATHS if is_lfs_path(attributes, path)}
    assert lfs == git_lfs_paths(git_folder, attributes)


@pytest.mark.parametrize(
    "ignore",
    [
        "*.txt\n!x/z.txt\n",
        "x/\n!x/z.txt\n",
        "*\n!*.bin\n",
        "/*\n!/sub\n",
        "dir/**\n!dir/a\n",
        "a.bin  \na\\ \n",
        "*.txt\r\n",
        "!a\n",
        "\\!h\n",
    ],
)
def test_ignore_files_agree_with_git(git_folder: Path, ignore: str) -> None:
    assert {p for p in PATHS if is_ignored(ignore, p)} == git_ignored_paths(git_folder, ignore)


@pytest.mark.parametrize("repo_type", ["model", "dataset", "space"])
def test_default_attributes_agree_with_git(git_folder: Path, repo_type: str) -> None:
    attributes = default_gitattributes(repo_type)
    lfs = {path for path in PATHS if is_lfs_path(attributes, path)}
    assert lfs == git_lfs_paths(git_folder, attributes)
    assert {"a.bin", "sub/a.bin", "a.tar.gz", "saved_model/a/b/c", "runs/x.tfevents"} <= lfs
    assert not lfs & {"x/z.txt", "dir/a/b/c.py"}


def test_media_is_large_only_in_data_sets() -> None:
    for name in ("x.png", "x.wav", "x.mp4", "x.jpg"):
        assert is_lfs_path(default_gitattributes("dataset"), name)
        assert not is_lfs_path(default_gitattributes("model"), name)
    for repo_type in ("model", "dataset", "space"):
        for name in ("m.safetensors", "m.gguf", "m.pkl", "d.parquet", "a.7z", "a.zst"):
            assert is_lfs_path(default_gitattributes(repo_type), name)
        for name in ("README.md", "config.json", "train.py", "data.csv"):
            assert not is_lfs_path(default_gitattributes(repo_type), name)


@pytest.mark.parametrize("path", PATHS)
def test_added_line_tracks_exactly_that_path(git_folder: Path, path: str) -> None:
    text = add_lfs_pattern("*.md text", path)
    assert text == f"*.md text\n{lfs_pattern(path)} filter=lfs diff=lfs merge=lfs -text\n"
    assert git_lfs_paths(git_folder, text) == {path}
    assert {p for p in PATHS if is_lfs_path(text, p)} == {path}
    assert add_lfs_pattern(text, path) == text


def test_added_line_keeps_line_endings() -> None:
    assert add_lfs_pattern("*.md text\r\n", "a").endswith("/a filter=lfs diff=lfs merge=lfs -text\r\n")


@given(st.text(min_size=1, max_size=30).filter(lambda p: "/" not in p and "\0" not in p))
def test_any_name_can_be_tracked(name: str) -> None:
    assert is_lfs_path(add_lfs_pattern("", name), name)


@settings(max_examples=300, deadline=None)
@given(st.text('ab*?[]!^-\\/: "#.', max_size=20), st.text("ab/.-[ ", min_size=1, max_size=12))
def test_any_pattern_is_answered(pattern: str, path: str) -> None:
    assert is_lfs_path(f"{pattern} filter=lfs\n", path) in (True, False)
    assert is_ignored(pattern, path) in (True, False)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 400 + "b", "a" * 900),
        ("**/" * 8 + "b", "a/" * 500 + "a"),
        ("**/a/" * 8 + "b", "a/" * 500 + "a"),
        ("?*" * 400, "a" * 900),
    ],
)
def test_hostile_patterns_are_quick(pattern: str, path: str) -> None:
    started = time.process_time()
    assert not is_lfs_path(f"{pattern} filter=lfs\n", path) or pattern.startswith("?")
    is_ignored(f"{pattern}\n", path)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("sample", "is_binary"),
    [
        (b"", False),
        (b"hello\n", False),
        ("你好，世界".encode(), False),
        ("你好，世界".encode()[:-1], False),
        ("你好，世界".encode("gb18030"), False),
        ("hello".encode("utf-16"), False),
        ("café".encode("latin-1"), False),
        (b"\x1b[31mred\x1b[0m\n", False),
        (b"\0\x01", True),
        (b"\x89PNG\r\n\x1a\n", True),
        (b"%PDF-1.7", True),
        (b"PK\x03\x04", True),
        (bytes(range(1, 256)), True),
    ],
)
def test_sniff_binary(sample: bytes, is_binary: bool) -> None:
    assert sniff_binary(sample) is is_binary
