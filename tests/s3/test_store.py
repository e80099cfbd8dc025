"""Both stores keep the same promises."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llmos.core.errors import Unavailable
from llmos.infra.blobs.store import ObjectStore, open_store
from llmos.infra.settings import Settings
from s3.conftest import S3

MIB = 1024 * 1024


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    extra = {}
    if request.param == "s3":
        extra = request.getfixturevalue("s3").settings(f"store-{tmp_path.name}")
    return open_store(Settings(home=tmp_path / "home", **extra))


def test_a_file_goes_in_and_comes_out(store: ObjectStore, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4 * 1024 * 12  # 12 MiB: several parts of an upload
    source = tmp_path / "home" / "tmp" / "up"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(data)
    store.put_file("lfs/aa/bb/one", source)
    assert not source.exists()
    assert store.head("lfs/aa/bb/one") == len(data)
    assert store.read("lfs/aa/bb/one") == data
    assert store.read("lfs/aa/bb/one", 5, 9) == data[5:9]
    assert store.read("lfs/aa/bb/one", 9, 5) == b""
    assert b"".join(store.stream("lfs/aa/bb/one", 100, 3 * MIB)) == data[100 : 3 * MIB]
    assert list(store.stream("lfs/aa/bb/one", 7, 7)) == []


def test_what_is_not_there_is_missing(store: ObjectStore) -> None:
    assert store.head("lfs/none") is None
    for start, end in ((0, None), (0, 4)):
        with pytest.raises(FileNotFoundError):
            store.read("lfs/none", start, end)
    with pytest.raises(FileNotFoundError):
        list(store.stream("lfs/none", 0, 4))
    store.delete("lfs/none")
    assert list(store.list("lfs")) == []


def test_a_shortened_object_is_noticed(store: ObjectStore) -> None:
    store.put_bytes("lfs/short", b"abc")
    with pytest.raises(FileNotFoundError):
        list(store.stream("lfs/short", 0, 10))


def test_an_object_moves(store: ObjectStore) -> None:
    store.put_bytes("xorbs/aa/one", b"abc")
    store.move("xorbs/aa/one", "quarantine/xorbs/aa/one")
    assert store.head("xorbs/aa/one") is None
    assert store.read("quarantine/xorbs/aa/one") == b"abc"
    with pytest.raises(FileNotFoundError):
        store.move("xorbs/aa/one", "quarantine/xorbs/aa/one")


def test_lists_are_whole_and_by_prefix(store: ObjectStore) -> None:
    for name in ("lfs/aa/1", "lfs/bb/2", "xorbs/aa/3", "empty/0"):
        store.put_bytes(name, b"" if name == "empty/0" else name.encode())
    assert sorted(meta.key for meta in store.list("lfs")) == ["lfs/aa/1", "lfs/bb/2"]
    assert {meta.key: meta.size_bytes for meta in store.list("")} == {
        "lfs/aa/1": 8, "lfs/bb/2": 8, "xorbs/aa/3": 10, "empty/0": 0,
    }  # fmt: skip
    assert all(meta.modified_at.tzinfo for meta in store.list(""))
    store.delete("lfs/aa/1")
    assert store.head("lfs/aa/1") is None
    assert store.read("empty/0") == b""


@contextmanager
def cutting(size: int, *, honest: bool) -> Iterator[str]:
    """A store with one object that sends only its first half: saying so, or breaking off."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            first, last = map(int, self.headers.get("Range", f"bytes=0-{size - 1}")[6:].split("-"))
            end = min(last + 1, size)
            sent = bytes(max(min(end, size // 2) - first, 0)) if self.command == "GET" else b""
            told = len(sent) if honest and self.command == "GET" else end - first
            self.send_response_only(206 if "Range" in self.headers else 200)
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{size}")
            self.send_header("Content-Length", str(told))
            self.send_header("Last-Modified", "Sun, 22 Nov 2026 00:00:00 GMT")
            self.send_header("ETag", '"1"')
            self.end_headers()
            self.wfile.write(sent)
            self.close_connection = True

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("honest", [True, False], ids=["a shorter answer", "a broken one"])
def test_half_an_answer_is_neither_the_whole_nor_damage(tmp_path: Path, honest: bool) -> None:
    """What the line loses is asked for again later; only what the store has lost is damage."""
    with cutting(4 * MIB, honest=honest) as url:
        keys = {"storage_access_key": "k", "storage_secret_key": "s", "storage_endpoint": url}
        store = open_store(Settings(home=tmp_path, storage_url="s3://llmos/x", **keys))  # type: ignore[arg-type]
        with pytest.raises(Unavailable):
            store.read("xorbs/aa/one", 0, 4 * MIB)
        with pytest.raises((Unavailable, FileNotFoundError)):
            list(store.stream("xorbs/aa/one", 0, 4 * MIB))
        assert store.read("xorbs/aa/one", 0, MIB) == bytes(MIB)


def test_a_store_that_is_away_is_said(s3: S3, tmp_path: Path) -> None:
    from kit.server import free_port

    gone = s3.settings("x") | {"storage_endpoint": f"http://127.0.0.1:{free_port()}"}
    wrong = s3.settings("x") | {"storage_url": "s3://no-such-bucket/x"}
    for number, extra in enumerate((gone, wrong)):
        store = open_store(Settings(home=tmp_path / str(number), **extra))
        with pytest.raises(Unavailable, match="object store"):
            store.put_bytes("lfs/one", b"1")
    with pytest.raises(Unavailable):
        open_store(Settings(home=tmp_path / "gone", **gone)).read("lfs/one", 0, 1)
