"""Trees and commits."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Iterator

import pygit2
from huggingface_hub import HfApi

from benchmarks.bench import Bench, best_of, memory_bytes, seconds
from benchmarks.report import Row


def _post_commit(bench: Bench, repo: str, files: Iterator[tuple[str, bytes]]) -> float:
    lines = [json.dumps({"key": "header", "value": {"summary": "bench", "description": ""}})]
    lines += [
        json.dumps(
            {
                "key": "file",
                "value": {"path": path, "content": base64.b64encode(data).decode(), "encoding": "base64"},
            }
        )
        for path, data in files
    ]
    request = urllib.request.Request(
        f"{bench.server.url}/api/models/{repo}/commit/main",
        data="\n".join(lines).encode(),
        headers={"Authorization": f"Bearer {bench.token}", "Content-Type": "application/x-ndjson"},
    )

    def send() -> None:
        with urllib.request.urlopen(request) as answer:
            answer.read()

    return seconds(send)


def _get(url: str) -> tuple[int, str | None]:
    with urllib.request.urlopen(url) as answer:
        link = answer.headers.get("Link")
        return len(json.load(answer)), link.split(">")[0].lstrip("<") if link else None


def tree(bench: Bench) -> Iterator[Row]:
    """The first page of a folder of 10,000 entries, and a recursive tree of 100,000 files."""
    api = HfApi(endpoint=bench.server.url, token=bench.token)
    api.create_repo("ada/wide")
    _post_commit(bench, "ada/wide", ((f"flat/{n:05d}.txt", b"x%d" % n) for n in range(10_000)))
    url = f"{bench.server.url}/api/models/ada/wide/tree/main/flat"
    first = best_of(5, lambda: seconds(lambda: _get(url)))
    yield Row(
        "first page of 10,000 entries", f"{first * 1000:.0f} ms", "limit 100 ms", first / 0.1, at_most=1.0
    )
    for part in range(9):
        _post_commit(
            bench, "ada/wide", ((f"deep/{part}/{n % 100}/{n:05d}.txt", b"y%d" % n) for n in range(10_000))
        )
    next_url: str | None = f"{bench.server.url}/api/models/ada/wide/tree/main?recursive=true"
    before = memory_bytes(bench.server.process.pid)
    deep = best_of(5, lambda: seconds(lambda: _get(f"{next_url}")))
    count, pages, peak = 0, 0, 0
    while next_url:
        got, next_url = _get(next_url)
        count, pages = count + got, pages + 1
        peak = max(peak, memory_bytes(bench.server.process.pid))
    assert count > 100_000, count
    yield Row("first page of 100,000 files", f"{deep * 1000:.0f} ms", "limit 100 ms", deep / 0.1, at_most=1.0)
    grown = (peak - before) / 1e6
    yield Row(f"memory added by all {pages} pages", f"{grown:.0f} MB", "limit 64 MB", grown / 64, at_most=1.0)


def commit(bench: Bench) -> Iterator[Row]:
    """1,000 small files in one call, beside writing the same objects with pygit2."""
    HfApi(endpoint=bench.server.url, token=bench.token).create_repo("ada/commit")
    our_s, their_s = [], []
    for turn in range(3):
        files = [(f"t{turn}/{n % 20}/{n}.txt", b"turn %d file %d\n" % (turn, n) * 20) for n in range(1000)]
        bare = pygit2.init_repository(str(bench.scratch / f"peer{turn}.git"), bare=True)
        their_s.append(seconds(lambda files=files, bare=bare: _pygit2_commit(bare, files)))
        our_s.append(_post_commit(bench, "ada/commit", iter(files)))
    yield Row(
        "commit of 1,000 files", f"{min(our_s):.2f} s", f"pygit2 {min(their_s):.2f} s",
        min(our_s) / min(their_s), at_most=2.0,
    )  # fmt: skip


def _pygit2_commit(bare: pygit2.Repository, files: list[tuple[str, bytes]]) -> None:
    # The peer writes as pygit2 does by default: it promises nothing about a power cut.
    pygit2.option(pygit2.enums.Option.ENABLE_FSYNC_GITDIR, False)
    index = pygit2.Index()
    for path, data in files:
        index.add(pygit2.IndexEntry(path, bare.create_blob(data), pygit2.enums.FileMode.BLOB))
    tree_oid = index.write_tree(bare)
    author = pygit2.Signature("Ada", "ada@example.org")
    bare.create_commit("refs/heads/main", author, author, "bench", tree_oid, [])
