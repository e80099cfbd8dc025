"""`.gitattributes` and `.gitignore` as text: which paths are large files, which are ignored."""

from __future__ import annotations

import re
from functools import lru_cache

from llmos.features.repos.cards.wildmatch import Pattern, compile_pattern

MAX_LINES = 5_000
_LFS = "filter=lfs diff=lfs merge=lfs -text"
_BASE = """
*.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model *.msgpack
*.npy *.npz *.onnx *.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors *.gguf
saved_model/**/* *.tar.* *.tar *.tflite *.tgz *.wasm *.xz *.zip *.zst *tfevents*
"""
_DATA = "*.avro *.lz4 *.mds"
_MEDIA = (
    ("Audio files - uncompressed", "*.pcm *.sam *.raw"),
    ("Audio files - compressed", "*.aac *.flac *.mp3 *.ogg *.wav"),
    ("Image files - uncompressed", "*.bmp *.gif *.png *.tiff"),
    ("Image files - compressed", "*.jpg *.jpeg *.webp"),
    ("Video files - compressed", "*.mp4 *.webm"),
)
_BRACKETED = {**dict.fromkeys(" \t\n\r", "[[:space:]]"), **{c: f"[{c}]" for c in '*?["'}}
_BRACKETED["\\"] = "[\\\\]"
_C_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "a": "\a", "b": "\b"}
_C_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"')
_C_ESCAPE = re.compile(r"\\([0-7]{3}|.)")
# git splits at these only; other white space is part of a name.
_BLANKS = re.compile(r"[ \t\r]+")
_BINARY_MAGIC = (b"%PDF-", b"\x89PNG", b"GIF8", b"PK\x03\x04", b"\x1f\x8b", b"\xff\xd8\xff")
_TEXT_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_CONTROLS = frozenset([*range(7), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20), 0x7F])


def default_gitattributes(repo_type: str) -> str:
    """The `.gitattributes` a new repository starts with; data sets also track media."""
    patterns = _BASE.split()
    if repo_type != "dataset":
        return "".join(f"{pattern} {_LFS}\n" for pattern in patterns)
    lines = [f"{pattern} {_LFS}" for pattern in sorted([*patterns, *_DATA.split()])]
    for title, endings in _MEDIA:
        lines += [f"# {title}", *(f"{pattern} {_LFS}" for pattern in endings.split())]
    return "\n".join(lines) + "\n"


def is_lfs_path(attributes_text: str, path: str) -> bool:
    """Whether the root `.gitattributes` gives `path` the attribute `filter=lfs`.

    The last line that names `filter` for the path wins, as in git.
    """
    for pattern, is_lfs in _filter_rules(attributes_text):
        if pattern.matches(path):
            return is_lfs
    return False


@lru_cache(maxsize=64)
def _filter_rules(text: str) -> tuple[tuple[Pattern, bool], ...]:
    """`(pattern, sets lfs)` of every line that touches `filter`, last line first."""
    rules: list[tuple[Pattern, bool]] = []
    for line in text.split("\n")[:MAX_LINES]:
        source, attributes = _split_attributes(line.strip(" \t\r"))
        value = _filter_of(attributes)
        pattern = compile_pattern(source) if source and value is not None else None
        # A folder pattern has no meaning here, and git refuses negated ones.
        if pattern and not pattern.directory_only and not source.startswith("!"):
            rules.append((pattern, value == "lfs"))
    return tuple(reversed(rules))


def _split_attributes(line: str) -> tuple[str, list[str]]:
    if not line or line.startswith(("#", "[attr]")):
        return "", []
    quoted = _C_QUOTED.match(line)
    if quoted:
        return _unquote(quoted.group(1)), _BLANKS.split(line[quoted.end() :].strip(" \t\r"))
    source, *attributes = _BLANKS.split(line)
    return source, attributes


def _unquote(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        escape = match.group(1)
        return chr(int(escape, 8) & 0xFF) if len(escape) == 3 else _C_ESCAPES.get(escape, escape)

    return _C_ESCAPE.sub(replace, text)


def _filter_of(attributes: list[str]) -> str | None:
    """Value the line gives to `filter`: its text, "" when unset, None when not named."""
    value = None
    for attribute in attributes:
        if attribute in ("filter", "-filter", "!filter"):
            value = ""
        elif attribute.startswith("filter="):
            value = attribute.removeprefix("filter=")
    return value


def lfs_pattern(path: str) -> str:
    """A pattern that matches exactly this path: anchored, blanks and glob characters escaped."""
    return "/" + "".join(_BRACKETED.get(char, char) for char in path)


def add_lfs_pattern(attributes_text: str, path: str) -> str:
    """The text with a line that tracks `path`; unchanged when it is tracked already."""
    if is_lfs_path(attributes_text, path):
        return attributes_text
    newline = "\r\n" if "\r\n" in attributes_text else "\n"
    if attributes_text and not attributes_text.endswith("\n"):
        attributes_text += newline
    return f"{attributes_text}{lfs_pattern(path)} {_LFS}{newline}"


def is_ignored(gitignore_text: str, path: str) -> bool:
    """Whether a root `.gitignore` ignores the file at `path`.

    A file inside an ignored folder is ignored and cannot be re-included, as in git.
    """
    rules = _ignore_rules(gitignore_text)
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        is_folder = depth < len(parts)
        current = "/".join(parts[:depth])
        for pattern, negated in rules:
            if (is_folder or not pattern.directory_only) and pattern.matches(current):
                if not negated:
                    return True
                break
    return False


@lru_cache(maxsize=64)
def _ignore_rules(text: str) -> tuple[tuple[Pattern, bool], ...]:
    """`(pattern, negated)` of every line, last line first."""
    rules: list[tuple[Pattern, bool]] = []
    for raw in text.removeprefix("\ufeff").split("\n")[:MAX_LINES]:
        line = _strip_blanks(raw.removesuffix("\r"))
        negated = line.startswith("!")
        pattern = compile_pattern(line[negated:]) if not line.startswith("#") else None
        if pattern:
            rules.append((pattern, negated))
    return tuple(reversed(rules))


def _strip_blanks(line: str) -> str:
    """Trailing blanks go, unless the last is escaped."""
    stripped = line.rstrip(" ")
    trailing = len(stripped) - len(stripped.rstrip("\\"))
    return stripped + " " if len(stripped) < len(line) and trailing % 2 else stripped


def sniff_binary(sample: bytes) -> bool:
    """Whether the first bytes of a file look binary; text in any encoding without NUL is text."""
    if not sample or sample.startswith(_TEXT_BOMS):
        return False
    if b"\0" in sample or sample.startswith(_BINARY_MAGIC):
        return True
    controls = sum(byte in _CONTROLS for byte in sample)
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character may be cut in two by the end of the sample.
        if error.start < len(sample) - 3:
            return controls * 50 > len(sample)
    return controls * 10 > len(sample) * 3
