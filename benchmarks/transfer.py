"""Bytes in and out: plain downloads, LFS uploads, clones."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import HfApi

from benchmarks.bench import GB, MB, Bench, curl_seconds, nginx, random_file, seconds
from benchmarks.report import Row


def _upload_by_lfs(bench: Bench, path: Path, name: str) -> None:
    code = (
        "import sys; from huggingface_hub import HfApi; "
        "api = HfApi(); api.create_repo(sys.argv[1], exist_ok=True); "
        "api.upload_file(path_or_fileobj=sys.argv[2], path_in_repo='w.bin', repo_id=sys.argv[1])"
    )
    env = bench.client_env() | {"HF_HUB_DISABLE_XET": "1"}
    subprocess.run([_python(), "-c", code, name, str(path)], env=env, check=True, capture_output=True)


def _python() -> str:
    import sys

    return sys.executable


def download(bench: Bench) -> Iterator[Row]:
    """A 1 GB LFS object, whole and a range from its middle, beside nginx's sendfile of the same file."""
    source = bench.scratch / "www" / "w.bin"
    source.parent.mkdir()
    random_file(source, GB)
    _upload_by_lfs(bench, source, "ada/download")
    os.sync()  # what was prepared must not be written while something is measured
    ours = f"{bench.server.url}/ada/download/resolve/main/w.bin"
    with nginx(bench.scratch, source.parent) as theirs:
        for name, extra in (("whole", ()), ("range", ("-r", "300000000-699999999"))):
            size = GB if name == "whole" else 400 * MB
            our_s, their_s = [], []
            for _ in range(5):  # alternating, so that both meet the same machine
                their_s.append(curl_seconds(f"{theirs}/w.bin", *extra))
                our_s.append(curl_seconds(ours, *extra))
            yield Row(
                f"download 1 GB, {name}",
                f"{size / min(our_s) / MB:.0f} MB/s",
                f"nginx {size / min(their_s) / MB:.0f} MB/s",
                min(their_s) / min(our_s),
                at_least=0.6,
            )


def lfs_put(bench: Bench) -> Iterator[Row]:
    """PUT of 1 GB, verified and durable, beside hashing the same file in one thread."""
    import json
    import urllib.request

    HfApi(endpoint=bench.server.url, token=bench.token).create_repo("ada/put")
    our_s, hash_s = [], []
    for turn in range(3):
        path = bench.scratch / f"put{turn}.bin"
        oid = random_file(path, GB)
        os.sync()

        def hash_file(path: Path = path) -> None:
            with path.open("rb") as source:
                hashlib.file_digest(source, "sha256")

        hash_s.append(seconds(hash_file))
        body = {
            "operation": "upload",
            "transfers": ["basic"],
            "objects": [{"oid": oid, "size": GB}],
            "hash_algo": "sha256",
        }
        request = urllib.request.Request(
            f"{bench.server.url}/ada/put.git/info/lfs/objects/batch",
            data=json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {bench.token}",
                "Content-Type": "application/vnd.git-lfs+json",
                "Accept": "application/vnd.git-lfs+json",
            },
        )
        with urllib.request.urlopen(request) as answer:
            href = json.load(answer)["objects"][0]["actions"]["upload"]["href"]
        our_s.append(seconds(lambda path=path, href=href: _put(href, path)))
        path.unlink()
    yield Row(
        "LFS PUT of 1 GB",
        f"{GB / min(our_s) / MB:.0f} MB/s",
        f"sha256 {GB / min(hash_s) / MB:.0f} MB/s",
        min(hash_s) / min(our_s),
        at_least=0.8,
    )


def _put(href: str, path: Path) -> None:
    """PUT by sendfile: the client shares the cores with the server, so it should cost little."""
    url = urlsplit(href)
    with socket.create_connection((url.hostname or "", url.port or 80)) as link, path.open("rb") as source:
        head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {GB}\r\n\r\n"
        link.sendall(head.encode())
        link.sendfile(source)
        answer = link.recv(200)
    assert answer.startswith(b"HTTP/1.1 200"), answer


def clone(bench: Bench) -> Iterator[Row]:
    """git clone of 200 MB in 20,000 objects over http, beside git itself over file://."""
    work = bench.scratch / "big"
    work.mkdir()
    for number in range(10_000):
        folder = work / f"{number % 100:02d}"
        folder.mkdir(exist_ok=True)
        random_file_small(folder / f"{number}.bin", 20_000)
    env = bench.client_env()
    HfApi(endpoint=bench.server.url, token=bench.token).create_repo("ada/big")
    remote = bench.server.url.replace("http://", f"http://ada:{bench.token}@") + "/ada/big"

    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=work, env=env, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    git("config", "user.email", "ada@example.org")
    git("config", "user.name", "Ada")
    for part in range(100):
        git("add", f"{part:02d}")
        git("commit", "-q", "-m", f"part {part}")
    git("push", "-q", "-f", remote, "main:refs/heads/big")
    bare = next(path for path in (bench.server.home / "git").rglob("*.git") if _has_branch(path, "big"))

    def run(url: str) -> float:
        target = bench.scratch / "clone"
        shutil.rmtree(target, ignore_errors=True)
        return seconds(
            lambda: subprocess.run(
                ["git", "clone", "-q", "--bare", "-b", "big", "--single-branch", url, str(target)],
                env=env,
                check=True,
            )
        )

    os.sync()
    their_s, our_s = [], []
    for _ in range(5):  # alternating, so that both meet the same machine
        their_s.append(run(f"file://{bare}"))
        our_s.append(run(remote))
    theirs, ours = min(their_s), min(our_s)
    yield Row(
        "git clone 200 MB, 20,000 objects",
        f"{ours:.2f} s",
        f"file:// {theirs:.2f} s",
        ours / theirs,
        at_most=1.2,
    )


def _has_branch(path: Path, name: str) -> bool:
    done = subprocess.run(
        ["git", "-C", str(path), "rev-parse", "-q", "--verify", name], capture_output=True, check=False
    )
    return done.returncode == 0


def random_file_small(path: Path, size_bytes: int) -> None:
    import os

    path.write_bytes(os.urandom(size_bytes))
