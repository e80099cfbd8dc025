"""A small Xet server made of the format room, for the real client to talk to."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from llmos.core.errors import LlmosError, NotFound
from llmos.infra.xet.chunks import ChunkTable
from llmos.infra.xet.hashes import XetHash, from_hex, to_hex
from llmos.infra.xet.ranges import plan_range, reconstruction_v1, reconstruction_v2
from llmos.infra.xet.shard import Shard, ShardFile, parse_shard
from llmos.infra.xet.shard_writer import dedup_shard
from llmos.infra.xet.verify import check_file, check_xorb_claim
from llmos.infra.xet.xorb import parse_xorb

# A busy machine must not fail a property, and a run must be the same each time.
settings.register_profile("xet", deadline=None, derandomize=True)
settings.load_profile("xet")

# Runs in its own process: the client keeps state per process and per HF_HOME.
CLIENT = """
import json, sys, hf_xet
job = json.load(sys.stdin)
session = hf_xet.XetSession()
auth = dict(endpoint=job["endpoint"], token="t", token_expiry_unix_secs=9999999999)
out = {"hashes": [[r.hash, r.file_size] for r in hf_xet.hash_files(job["upload"])]}
if job["upload"]:
    with session.new_upload_commit(**auth) as commit:
        handles = [commit.start_upload_file(path) for path in job["upload"]]
    infos = [handle.result().xet_info for handle in handles]
    out["uploaded"] = [[i.hash, i.file_size, i.sha256] for i in infos]
if job["download"]:
    with session.new_file_download_group(**auth) as group:
        for name, size, path in job["download"]:
            group.start_download_file(hf_xet.XetFileInfo(name, size), path)
for name, size, path, start, end in job["ranges"]:
    group = session.new_download_stream_group(**auth)
    with open(path, "wb") as target:
        for block in group.download_stream(hf_xet.XetFileInfo(name, size), start=start, end=end):
            target.write(block)
    group.finish()
json.dump(out, sys.stdout)
"""


class MiniCas:
    """Stores in memory what it has verified; keeps the raw bodies for inspection."""

    def __init__(self, dedup_key: bytes | None = None, speak_v2: bool = False) -> None:
        self.dedup_key = dedup_key
        self.speak_v2 = speak_v2
        self.xorbs: dict[XetHash, bytes] = {}
        self.tables: dict[XetHash, ChunkTable] = {}
        self.files: dict[XetHash, ShardFile] = {}
        self.shards: list[Shard] = []
        self.shard_bodies: list[bytes] = []
        self.refusals: list[str] = []
        cas = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                cas.answer(self)

            do_POST = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def run_client(
        self,
        home: Path,
        upload: list[Path] | None = None,
        download: list[tuple[str, int, Path]] | None = None,
        ranges: list[tuple[str, int, Path, int, int]] | None = None,
    ) -> dict[str, Any]:
        """Let a fresh hf_xet process with its cache in `home` do a job."""
        job = {
            "endpoint": self.url,
            "upload": upload or [],
            "download": download or [],
            "ranges": ranges or [],
        }
        env = os.environ | {"HF_HOME": str(home), "HF_XET_CACHE": str(home / "xet")}
        done = subprocess.run(
            [sys.executable, "-c", CLIENT],
            input=json.dumps(job, default=str),
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr[-2000:] + str(self.refusals)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def access_table(self, name: XetHash) -> ChunkTable:
        if name not in self.tables:
            raise NotFound(f"No xorb {to_hex(name)}.")
        return self.tables[name]

    def answer(self, http: BaseHTTPRequestHandler) -> None:
        body = http.rfile.read(int(http.headers.get("Content-Length", 0)))
        parts = http.path.strip("/").split("/")
        try:
            status, reply = self._route(http.command, parts, body, http.headers.get("Range"))
        except LlmosError as error:
            self.refusals.append(error.message)
            status, reply = error.status, error.message.encode()
        http.send_response(status)
        http.send_header("Content-Length", str(len(reply)))
        http.end_headers()
        http.wfile.write(reply)

    def _route(self, method: str, parts: list[str], body: bytes, byte_range: str | None) -> tuple[int, bytes]:
        match [method, *parts]:
            case ["POST", "v1", "xorbs", "default", name]:
                return self._take_xorb(from_hex(name), body)
            case ["POST", "v1", "shards"]:
                return self._take_shard(body)
            case ["GET", "v1", "chunks", "default", name] if self.dedup_key:
                return self._find_chunk(from_hex(name))
            case ["GET", "v1" | "v2" as version, "reconstructions", name] if version == "v1" or self.speak_v2:
                return self._reconstruct(version, from_hex(name), byte_range or "")
            case ["GET", "data", name]:
                start, end = _read_range(byte_range or "")
                return 206, self.xorbs[from_hex(name)][start:end]
        return 404, b""

    def _take_xorb(self, name: XetHash, body: bytes) -> tuple[int, bytes]:
        parsed = parse_xorb(body, name)
        self.tables[name] = parsed.table()
        self.xorbs[name] = body
        return 200, b'{"was_inserted": true}'

    def _take_shard(self, body: bytes) -> tuple[int, bytes]:
        self.shard_bodies.append(body)
        shard = parse_shard(body)
        for claim in shard.xorbs:
            check_xorb_claim(claim, self.access_table(claim.xorb_hash))
        for file in shard.files:
            check_file(file, self.access_table)
            self.files.setdefault(file.file_hash, file)
        self.shards.append(shard)
        return 200, b'{"result": 1}'

    def _find_chunk(self, chunk: XetHash) -> tuple[int, bytes]:
        assert self.dedup_key is not None
        for shard in self.shards:
            for claim in shard.xorbs:
                if any(claim.chunk_hash(i) == chunk for i in range(len(claim))):
                    listed = [(x.xorb_hash, self.tables[x.xorb_hash]) for x in shard.xorbs]
                    return 200, dedup_shard(listed, self.dedup_key, 1_700_000_000, 9_999_999_999)
        return 404, b""

    def _reconstruct(self, version: str, name: XetHash, byte_range: str) -> tuple[int, bytes]:
        start, end = _read_range(byte_range)
        plan = plan_range(self.files[name].terms, self.access_table, start, end)
        shape = reconstruction_v2 if version == "v2" else reconstruction_v1
        reply = shape(plan, lambda xorb, _: f"{self.url}/data/{to_hex(xorb)}")
        return 200, json.dumps(reply).encode()


def _read_range(header: str) -> tuple[int, int]:
    first, last = header.removeprefix("bytes=").split("-")
    return int(first), int(last) + 1


def make_sample(kind: str, size: int) -> bytes:
    """Reproducible `size` bytes of bf16 weights, text or noise."""
    rng = np.random.default_rng(0)
    if kind == "bf16":
        weights = (rng.standard_normal(size // 2 + 1) * 0.02).astype(np.float32)
        return (weights.view(np.uint32) >> 16).astype(np.uint16).tobytes()[:size]
    if kind == "text":
        words = np.array(["tiny ", "model ", "learns ", "a ", "token ", "slowly ", "and ", "well\n"])
        return "".join(words[rng.integers(0, len(words), size // 3)]).encode()[:size]
    return rng.bytes(size)


@pytest.fixture
def sample_bytes() -> Callable[[str, int], bytes]:
    return make_sample


@pytest.fixture
def cas() -> Iterator[MiniCas]:
    server = MiniCas()
    yield server
    server.close()


@pytest.fixture
def cas_v2() -> Iterator[MiniCas]:
    """Speaks version 2 reconstructions and answers dedup questions with hidden hashes."""
    server = MiniCas(dedup_key=bytes(range(32)), speak_v2=True)
    yield server
    server.close()
