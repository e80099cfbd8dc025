"""Backup into a folder and restore from it, while the server runs.

Order makes the copy consistent without stopping anything: the database first, then git, then
objects. What arrives in between is extra, never missing; the reconciler re-indexes repositories
whose git head is newer than their row. Objects never change, so a second backup into the same
folder copies only new ones.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from llmos import __version__
from llmos.app.copying import copy_git_root, copy_tree
from llmos.app.dump import check_free, dump_rows, load_rows
from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.infra.blobs.durable import fsync_dir
from llmos.infra.blobs.store import open_store
from llmos.infra.db.engine import Database
from llmos.infra.runtime import Runtime
from llmos.infra.settings import Settings

MANIFEST = "backup.json"
ROWS = "rows.jsonl.gz"
Say = Callable[[str], None]


def backup(rt: Runtime, target: Path, say: Say, *, with_objects: bool = True) -> dict[str, object]:
    """Copy the whole instance to `target`; return the manifest, written last.

    `with_objects=False` leaves large objects out, for a bucket that has a copy of its own.

    A folder without a manifest is an interrupted backup and is refused by `restore`.
    """
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    manifest_path = target / MANIFEST
    manifest_path.unlink(missing_ok=True)
    say("database")
    row_count = dump_rows(rt.database, target / ROWS)
    say("repositories")
    repo_count = copy_git_root(rt.settings.git_root, target / "git")
    object_count = object_bytes = 0
    if with_objects:
        say("objects")
        object_count, object_bytes = _copy_objects(rt, target / "objects")
    copy_tree(rt.settings.home / "secrets", target / "secrets", overwrite=True)
    manifest: dict[str, object] = {
        "version": __version__,
        "made_at": clock.to_json(clock.now()),
        "database": "sqlite" if rt.database.is_sqlite else "postgresql",
        "rows": row_count,
        "git_files": repo_count,
        "objects_copied": object_count,
        "objects_copied_bytes": object_bytes,
    }
    os.sync()  # the manifest must not outlive what it vouches for
    manifest_path.write_text(json.dumps(manifest, indent=2))
    fsync_dir(target)
    return manifest


def restore(settings: Settings, source: Path, say: Say, *, force: bool = False) -> dict[str, object]:
    """Fill an empty `LLMOS_HOME` and database from a backup; BadRequest when one is not empty, or it is none.

    The database may be of the other kind: that is how an instance moves from SQLite to PostgreSQL.

    The Xet address gets a new epoch, so that clients drop caches that name chunks this copy may
    not have.
    """
    try:
        manifest: dict[str, object] = json.loads((source / MANIFEST).read_text())
    except FileNotFoundError as error:
        raise BadRequest(f"{source} is not a finished backup: it has no {MANIFEST}.") from error
    home = settings.home
    if home.exists() and any(home.iterdir()) and not force:
        raise BadRequest(f"{home} is not empty: name an empty LLMOS_HOME, or add --force.")
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(settings.database)
    if not force:
        check_free(database)
    say("objects")
    _load_objects(settings, source / "objects")
    say("repositories")
    copy_tree(source / "git", settings.git_root, overwrite=True)
    copy_tree(source / "secrets", home / "secrets", overwrite=True)
    say("database")
    load_rows(database, source / ROWS)
    database.dispose()
    (home / "cas_epoch").write_text(secrets.token_hex(4))
    return manifest


def _load_objects(settings: Settings, source: Path) -> None:
    """Put the objects where this instance keeps them, which may be a bucket."""
    if not settings.storage_url:
        copy_tree(source, settings.object_root, overwrite=False)
        return
    store = open_store(settings)
    settings.tmp_root.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        key = path.relative_to(source).as_posix()
        if store.head(key) == path.stat().st_size:
            continue
        aside = settings.tmp_root / f"restore-{secrets.token_hex(8)}"
        shutil.copyfile(path, aside)
        store.put_file(key, aside)


def _copy_objects(rt: Runtime, target: Path) -> tuple[int, int]:
    count = size_bytes = 0
    for meta in rt.objects.list(""):
        path = target / meta.key
        if path.exists() and path.stat().st_size == meta.size_bytes:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        with part.open("wb") as out:
            for piece in rt.objects.stream(meta.key, 0, meta.size_bytes):
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
        part.replace(path)
        count, size_bytes = count + 1, size_bytes + meta.size_bytes
    return count, size_bytes
