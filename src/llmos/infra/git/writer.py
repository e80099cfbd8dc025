"""Build trees from lists of changes, and commits from trees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from llmos.core.errors import Unprocessable
from llmos.core.paths import check_file_path
from llmos.core.text import lazy
from llmos.infra.git.casing import fold_name, fold_names
from llmos.infra.git.errors import EntryNotFound, PathConflict
from llmos.infra.git.identity import Identity, format_identity
from llmos.infra.git.objects import ObjectWriter
from llmos.infra.git.treedata import (
    MODE_EXECUTABLE,
    MODE_FILE,
    MODE_SYMLINK,
    MODE_TREE,
    RawEntry,
    format_tree,
    parse_tree,
)

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
MAX_DEPTH = 128
_KEEP_MODE = 0
_FILE_MODES = frozenset({MODE_FILE, MODE_EXECUTABLE, MODE_SYMLINK})
# HFS+ ignores these characters in names, so `.g\u200cit` would be `.git` in a checkout there.
_HFS_IGNORED = {
    point: None
    for first, last in ((0x200C, 0x200F), (0x202A, 0x202E), (0x206A, 0x206F), (0xFEFF, 0xFEFF))
    for point in range(first, last + 1)
}


@dataclass(frozen=True, slots=True)
class AddBlob:
    """Put a blob at `path`, replacing a file already there.

    `mode` is 100644, 100755 or 120000; None keeps the executable bit of the file it replaces, or of
    the one at `old_path` in the base, which it takes over from.
    """

    path: str
    oid: str
    mode: int | None = None
    old_path: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteFile:
    path: str


@dataclass(frozen=True, slots=True)
class DeleteFolder:
    """Remove a folder with all it holds; a trailing slash is allowed, `""` is the root."""

    path: str


Change = AddBlob | DeleteFile | DeleteFolder


@dataclass(slots=True)
class _Folder:
    """The changes below one folder."""

    path: str = ""
    is_cleared: bool = False
    adds: dict[bytes, RawEntry] = field(default_factory=dict)
    deletes: set[bytes] = field(default_factory=set)
    folders: dict[bytes, _Folder] = field(default_factory=dict)

    def enter(self, segments: Sequence[str]) -> _Folder:
        folder = self
        for segment in segments:
            key = segment.encode()
            below = folder.folders.get(key)
            if below is None:
                below = folder.folders[key] = _Folder(_join(folder.path, segment))
            folder = below
        return folder


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def apply_changes(writer: ObjectWriter, base_tree: str | None, changes: Iterable[Change]) -> str:
    """Write the trees that result from `changes` on `base_tree` (None: nothing) and return the
    id of the new root tree, which is `base_tree` if nothing changed.

    All deletions are looked up in the base and happen before all additions, whatever their
    order; of two additions at one path the last wins. Folders left empty vanish.
    Raises EntryNotFound for a deletion without target, Unprocessable for a path no file may
    have, PathConflict for a file in the place of a folder or the reverse, and for a new name
    that differs from a sibling's only in case or Unicode form.
    """
    root = _group(_inherit_mode(writer, base_tree, change) for change in changes)
    result = _apply(writer, root, base_tree, is_cleared=False)
    return result or writer.write("tree", b"")


def _inherit_mode(writer: ObjectWriter, base_tree: str | None, change: Change) -> Change:
    """A renamed file stays executable; where there is no such file, its deletion says so later."""
    if not isinstance(change, AddBlob) or change.old_path is None or change.mode is not None:
        return change
    *folders, name = change.old_path.encode("utf-8", "surrogatepass").split(b"/")
    tree = base_tree
    for folder in folders:
        found = parse_tree(writer.read_tree(tree)).get(folder) if tree else None
        tree = found.oid.hex() if found is not None and found.mode == MODE_TREE else None
    entry = parse_tree(writer.read_tree(tree)).get(name) if tree else None
    if entry is None or entry.mode != MODE_EXECUTABLE:
        return change
    return replace(change, mode=MODE_EXECUTABLE)


def _group(changes: Iterable[Change]) -> _Folder:
    root = _Folder()
    folders: dict[str, _Folder] = {"": root}

    def enter(path: str) -> _Folder:
        folder = folders.get(path)
        if folder is None:
            folder = folders[path] = root.enter(path.split("/"))
        return folder

    for change in changes:
        if isinstance(change, DeleteFolder):
            path = change.path.strip("/")
            _check_target(path, "folder")
            enter(path).is_cleared = True
            continue
        parent, _, name = change.path.rpartition("/")
        if isinstance(change, DeleteFile):
            _check_target(change.path, "file")
            enter(parent).deletes.add(name.encode())
        else:
            entry = _new_entry(change, name)
            enter(parent).adds[entry.name] = entry
    return root


def _check_target(path: str, kind: str) -> None:
    """A path that no tree can hold is simply not there."""
    is_root_folder = kind == "folder" and not path
    is_sane = all(path.split("/")) and path.count("/") < MAX_DEPTH and "\0" not in path
    is_encodable = not any(0xD800 <= ord(char) <= 0xDFFF for char in path)
    if not (is_root_folder or is_sane) or not is_encodable:
        raise _missing(path, kind)


def _missing(path: str, kind: str) -> EntryNotFound:
    return EntryNotFound(
        lazy("A %(kind)s with this name doesn't exist: %(path)r", kind=kind, path=path), data={"path": path}
    )


def _new_entry(change: AddBlob, name: str) -> RawEntry:
    check_file_path(change.path)
    if change.path.count("/") >= MAX_DEPTH:
        raise Unprocessable(
            lazy("path %(path)r is deeper than %(limit)s folders.", path=change.path, limit=MAX_DEPTH)
        )
    if not change.path.isascii():
        for segment in change.path.split("/"):
            if segment.translate(_HFS_IGNORED).lower() == ".git":
                raise Unprocessable(lazy("path %(path)r points into a '.git' folder.", path=change.path))
    mode = _KEEP_MODE if change.mode is None else change.mode
    if mode not in _FILE_MODES and mode != _KEEP_MODE:
        raise Unprocessable(
            lazy("mode %(mode)o of %(path)r is not a file's mode.", mode=mode, path=change.path)
        )
    return RawEntry(name.encode(), mode, bytes.fromhex(change.oid))


def _with_mode(entry: RawEntry, replaced: RawEntry | None) -> RawEntry:
    if entry.mode != _KEEP_MODE:
        return entry
    is_executable = replaced is not None and replaced.mode == MODE_EXECUTABLE
    return entry._replace(mode=MODE_EXECUTABLE if is_executable else MODE_FILE)


def _apply(writer: ObjectWriter, folder: _Folder, base_tree: str | None, *, is_cleared: bool) -> str | None:
    """The new tree of `folder`, or None if it would be empty."""
    if folder.is_cleared and base_tree is None and folder.path:
        raise _missing(folder.path, "folder")
    base = parse_tree(writer.read_tree(base_tree)) if base_tree else {}
    is_cleared = is_cleared or folder.is_cleared
    entries = {} if is_cleared else dict(base)
    for name in folder.deletes:
        held = base.get(name)
        if held is None or held.is_tree:
            raise _missing(_join(folder.path, name.decode()), "file")
        entries.pop(name, None)
    _apply_folders(writer, folder, base, entries, is_cleared)
    for name, entry in folder.adds.items():
        held = entries.get(name)
        if held is not None and held.is_tree:
            raise PathConflict(
                f"{_join(folder.path, name.decode())!r} is a folder: delete it first or choose "
                "another name for the file."
            )
        entries[name] = _with_mode(entry, base.get(name))
    _check_case(folder, base, entries)
    if entries == base and base_tree:
        return base_tree
    return writer.write("tree", format_tree(entries)) if entries else None


def _apply_folders(
    writer: ObjectWriter,
    folder: _Folder,
    base: dict[bytes, RawEntry],
    entries: dict[bytes, RawEntry],
    is_cleared: bool,
) -> None:
    for name, below in folder.folders.items():
        held = base.get(name)
        tree = held.oid.hex() if held is not None and held.is_tree else None
        result = _apply(writer, below, tree, is_cleared=is_cleared)
        if result is not None:
            in_the_way = entries.get(name)
            if in_the_way is not None and not in_the_way.is_tree:
                raise PathConflict(f"{below.path!r} is a file: delete it first or choose another folder.")
            entries[name] = RawEntry(name, MODE_TREE, bytes.fromhex(result))
        elif tree is not None:
            entries.pop(name, None)


def _check_case(folder: _Folder, base: dict[bytes, RawEntry], entries: dict[bytes, RawEntry]) -> None:
    """Refuse new names that a case-insensitive or normalising file system takes for another.

    Names that already collide in the base stay as they are.
    """
    new = entries.keys() - base.keys()
    if not new:
        return
    kept = entries.keys() - new
    folded = fold_names(kept)
    seen: dict[bytes, bytes] = {}
    for name in sorted(new):
        key = fold_name(name)
        other = seen.setdefault(key, name)
        if key in folded:
            other = next(old for old in kept if fold_name(old) == key)
        if other != name:
            raise PathConflict(
                f"{_join(folder.path, name.decode())!r} and "
                f"{_join(folder.path, other.decode('utf-8', 'replace'))!r} differ only in case "
                "or Unicode form and cannot exist together on every computer: rename one."
            )


def create_commit(
    writer: ObjectWriter,
    tree: str,
    parents: Sequence[str],
    *,
    author: Identity,
    committer: Identity,
    message: str,
) -> str:
    """Write a commit object and return its id; no ref moves.

    Make it durable with `writer.flush()` before a ref is moved to it.
    """
    lines = [b"tree " + tree.encode()]
    lines += [b"parent " + parent.encode() for parent in parents]
    lines += [b"author " + format_identity(author), b"committer " + format_identity(committer)]
    text = message.replace("\0", "").replace("\r\n", "\n").strip("\n") + "\n"
    return writer.write("commit", b"\n".join([*lines, b"", text.encode("utf-8", "replace")]))
