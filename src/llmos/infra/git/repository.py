"""Create and open bare repositories."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from collections import OrderedDict
from pathlib import Path

import pygit2
from pygit2.enums import ConfigLevel, ObjectType, RepositoryOpenFlag

from llmos.infra.git.errors import RepositoryExists, RepositoryMissing

DEFAULT_BRANCH = "main"
_HANDLES_PER_THREAD = 16
_MAX_OPEN_PACKS = 256
_CACHED_TREE_BYTES = 1024 * 1024
_CACHE_BYTES = 64 * 1024 * 1024

# Objects and refs reach the disk before a write returns (file and folder are fsynced).
pygit2.settings.enable_fsync_gitdir(True)
pygit2.settings.owner_validation = False
pygit2.settings.mwindow_file_limit = _MAX_OPEN_PACKS
pygit2.settings.cache_max_size(_CACHE_BYTES)
# A folder of 10,000 files is a tree of some 400 KB, read again for every page and every commit.
pygit2.settings.cache_object_limit(ObjectType.TREE, _CACHED_TREE_BYTES)
for _level in (ConfigLevel.SYSTEM, ConfigLevel.GLOBAL, ConfigLevel.XDG):
    # Configuration of the machine or the user must not change what the server does.
    pygit2.settings.search_path[_level] = ""

_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tlogAllRefUpdates = false
\tfsync = committed,loose-object,reference
[gc]
\tauto = 0
[receive]
\tfsckObjects = true
\tdenyDeletes = false
\tdenyDeleteCurrent = refuse
\tautogc = false
[uploadpack]
\tallowFilter = true
\tallowAnySHA1InWant = true
[transfer]
\thideRefs = refs/internal
[repack]
\twriteBitmaps = true
"""


def init_bare(path: Path, default_branch: str = DEFAULT_BRANCH) -> None:
    """Create an empty bare repository at `path`, complete or not at all.

    It has no hooks, HEAD points to `default_branch`, and its configuration makes git write
    durably, check pushed objects, allow partial clones and wants by id, and never start gc by
    itself. Refs under `refs/internal` are hidden from clients.
    Raises RepositoryExists if something already lies at `path`.
    """
    if path.exists():
        raise RepositoryExists(f"A repository already exists at {path.name}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
            (building / folder).mkdir(parents=True)
        _write_durably(building / "config", _CONFIG.encode())
        _write_durably(building / "HEAD", f"ref: refs/heads/{default_branch}\n".encode())
        for folder in ("objects", "refs", "."):
            fsync_folder(building / folder)
        try:
            building.rename(path)
        except OSError as error:
            raise RepositoryExists(f"A repository already exists at {path.name}.") from error
        fsync_folder(path.parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def fsync_folder(path: Path) -> None:
    """Make the names inside a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Handles(threading.local):
    """Open repositories of one thread: a handle is never used by two threads at once."""

    def __init__(self) -> None:
        self.by_path: OrderedDict[str, tuple[tuple[int, int, int], pygit2.Repository]]
        self.by_path = OrderedDict()


_handles = _Handles()


def open_repo(path: Path | str) -> pygit2.Repository:
    """The bare repository at `path`, from a small cache of this thread.

    Do not hand the handle to another thread. A repository deleted and created again at the
    same path is noticed. Raises RepositoryMissing if there is none.
    """
    key = os.fspath(path)
    try:
        # HEAD is replaced when a repository is created anew or its default branch changes.
        stat = os.stat(os.path.join(key, "HEAD"))
    except OSError as error:
        _handles.by_path.pop(key, None)
        raise RepositoryMissing("The git data of this repository cannot be found.") from error
    stamp = (stat.st_dev, stat.st_ino, stat.st_mtime_ns)
    held = _handles.by_path.get(key)
    if held is not None and held[0] == stamp:
        _handles.by_path.move_to_end(key)
        return held[1]
    git_repo = open_private(key)
    _handles.by_path[key] = (stamp, git_repo)
    _handles.by_path.move_to_end(key)
    while len(_handles.by_path) > _HANDLES_PER_THREAD:
        _handles.by_path.popitem(last=False)
    return git_repo


def open_private(path: Path | str) -> pygit2.Repository:
    """A handle of the caller's own, which may move between threads if only one uses it at a time."""
    flags = RepositoryOpenFlag.NO_SEARCH | RepositoryOpenFlag.BARE | RepositoryOpenFlag.NO_DOTGIT
    try:
        return pygit2.Repository(os.fspath(path), flags)
    except pygit2.GitError as error:
        raise RepositoryMissing("The git data of this repository cannot be read.") from error


def forget_repo(path: Path | str) -> None:
    """Drop this thread's handle, for instance before the folder is moved or removed."""
    _handles.by_path.pop(os.fspath(path), None)


def is_empty(git_repo: pygit2.Repository) -> bool:
    """True while no ref exists: nothing was ever committed, or everything was deleted."""
    return next(iter(git_repo.references.iterator()), None) is None


def default_branch(git_repo: pygit2.Repository) -> str:
    """The branch HEAD points to, whether or not it has a commit yet."""
    target = git_repo.lookup_reference("HEAD").target
    return str(target).removeprefix("refs/heads/")


def set_default_branch(git_repo: pygit2.Repository, branch: str) -> None:
    """Point HEAD to an existing or future branch."""
    git_repo.create_reference_symbolic("HEAD", f"refs/heads/{branch}", True)
