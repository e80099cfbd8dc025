"""Files for the benchmarks of the chunk store, and clients that send them."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select

from benchmarks.bench import GB, MB, Bench, family
from llmos.features.storage.xet.models import XetXorb

# 1000 is what the goals are about; less is for trying the benchmarks out.
SIZE = int(os.environ.get("LLMOS_BENCH_MB", "1000")) * MB
_PIECE = 32 * 1024 * 1024
_HASH = "import sys, hf_xet; print(hf_xet.hash_files([sys.argv[1]]))"


def size_name(size_bytes: int) -> str:
    return f"{size_bytes / GB:g} GB" if size_bytes >= GB else f"{size_bytes / MB:g} MB"


def bf16(size_bytes: int, seed: int) -> bytes:
    """Weights as they are initialised: a normal distribution, cut to bfloat16."""
    numbers = np.random.default_rng(seed).standard_normal((size_bytes + 1) // 2, dtype=np.float32)
    return ((numbers * 0.02).view(np.uint32) >> 16).astype(np.uint16).tobytes()[:size_bytes]


def bf16_file(path: Path, size_bytes: int, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        for number, start in enumerate(range(0, size_bytes, _PIECE)):
            out.write(bf16(min(_PIECE, size_bytes - start), seed * 100_003 + number))
    return path


@dataclass(frozen=True)
class Client:
    """The official command with a home of its own; `url` may lead through a relay."""

    env: dict[str, str]

    def hf(self, *arguments: str) -> None:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("hf")), *arguments],
            env=self.env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"hf {' '.join(arguments)}: {done.stderr[-2000:]}")

    def upload(self, repo: str, path: Path, name: str = "model.bin") -> float:
        """Wall seconds of `hf upload`, the program's start included."""
        started = time.perf_counter()
        self.hf("upload", repo, str(path), name)
        return time.perf_counter() - started

    def hash_seconds(self, path: Path) -> float:
        """Wall seconds of the client's own chunking and hashing of a file, and nothing else."""
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", _HASH, str(path)], env=self.env, check=True, capture_output=True
        )
        return time.perf_counter() - started

    def through(self, url: str) -> Client:
        return replace(self, env=self.env | {"HF_ENDPOINT": url})


def client(bench: Bench, name: str) -> Client:
    return Client(bench.client_env() | {"HF_HOME": str(bench.scratch / f"home-{name}")})


def create_repo(bench: Bench, name: str) -> str:
    from huggingface_hub import HfApi

    HfApi(endpoint=bench.server.url, token=bench.token).create_repo(name)
    return name


@contextmanager
def cpu_of_server(bench: Bench) -> Iterator[list[float]]:
    """Processor seconds, kernel work included, that the server spends in the block: appended after it."""
    used: list[float] = []
    before = _cpu_s(bench.server.process.pid)
    yield used
    used.append(_cpu_s(bench.server.process.pid) - before)


@contextmanager
def cpu_of_clients() -> Iterator[list[float]]:
    """Processor seconds of the programs started and ended in the block: appended after it."""
    used: list[float] = []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    yield used
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _cpu_s(pid: int) -> float:
    ticks = 0
    for child in family(pid):
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def stored(bench: Bench) -> tuple[int, int]:
    """Bytes in all xorbs of the server: (before compression, as they lie on disk)."""
    with bench.rt.database.reading() as db:
        raw, packed = db.execute(select(func.sum(XetXorb.raw_bytes), func.sum(XetXorb.packed_bytes))).one()
    return int(raw or 0), int(packed or 0)


def get_json(url: str, token: str, **headers: str) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}", **headers})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)
