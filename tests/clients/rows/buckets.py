"""Rows of buckets."""

from __future__ import annotations

import os
from pathlib import Path

from clients.rows import World, row, status_of

BIG = os.urandom(150_000)


def bucket(w: World, *, filled: bool = False) -> str:
    name = w.name("bucket")
    w.ada.create_bucket(name, private=True)
    if filled:
        w.ada.batch_bucket_files(name, add=[(BIG, "d/w.bin"), (b"a", "a.txt")])
    return name


@row("POST /api/buckets/{namespace}/{name}", "create_bucket")
def create(w: World) -> None:
    name = bucket(w)
    assert w.ada.create_bucket(name, exist_ok=True).bucket_id == name
    assert status_of(lambda: w.ada.create_bucket(name)) == 409


@row("GET /api/buckets/{namespace}", "list_buckets")
def listing(w: World) -> None:
    name = bucket(w)
    assert name in [item.id for item in w.ada.list_buckets("ada")]


@row("GET /api/buckets/{id}", "bucket_info")
def info(w: World) -> None:
    found = w.ada.bucket_info(bucket(w, filled=True))
    assert (found.private, found.total_files, found.size) == (True, 2, len(BIG) + 1)


@row("DELETE /api/buckets/{id}", "delete_bucket")
def delete(w: World) -> None:
    name = bucket(w)
    w.ada.delete_bucket(name)
    assert status_of(lambda: w.ada.bucket_info(name)) == 404
    w.ada.delete_bucket(name, missing_ok=True)


@row("PUT /api/buckets/{id}/settings", "update_bucket_settings")
def settings(w: World) -> None:
    name = bucket(w)
    w.ada.update_bucket_settings(name, private=False)
    assert w.grace.bucket_info(name).private is False


@row("GET /api/buckets/{id}/tree", "list_bucket_tree")
def tree(w: World) -> None:
    found = w.ada.list_bucket_tree(bucket(w, filled=True), recursive=True)
    assert {"a.txt", "d/w.bin"} <= {item.path for item in found}


@row("POST /api/buckets/{id}/paths-info", "get_bucket_paths_info")
def paths(w: World) -> None:
    (found,) = w.ada.get_bucket_paths_info(bucket(w, filled=True), ["d/w.bin", "nothing"])
    assert (found.path, found.size) == ("d/w.bin", len(BIG))


@row("POST /api/buckets/{id}/batch", "batch_bucket_files", "sync_bucket")
def batch(w: World) -> None:
    name = bucket(w, filled=True)
    w.ada.batch_bucket_files(name, delete=["a.txt"])
    folder = w.folder / "synced"
    folder.mkdir(exist_ok=True)
    w.ada.sync_bucket(f"hf://buckets/{name}", str(folder), quiet=True)
    assert [path.read_bytes() for path in folder.rglob("*.bin")] == [BIG]


@row("HEAD /buckets/{id}/resolve/{path}", "get_bucket_file_metadata", "download_bucket_files")
def head(w: World) -> None:
    name = bucket(w, filled=True)
    assert w.ada.get_bucket_file_metadata(name, "d/w.bin").size == len(BIG)
    target = w.folder / "w.bin"
    w.ada.download_bucket_files(name, [("d/w.bin", target)])
    assert Path(target).read_bytes() == BIG


@row("POST /api/repos/move (a bucket)", "move_bucket")
def move(w: World) -> None:
    name, new = bucket(w), w.name("bucket")
    w.ada.move_bucket(name, new)
    assert w.ada.bucket_info(new).id == new
