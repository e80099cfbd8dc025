"""The surroundings of a benchmark: a live server over a folder of its own, and a few stopwatches."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from kit.people import add_people
from kit.server import LiveServer, free_port, live_server
from llmos.app.schema import ensure_schema
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings

MB = 1_000_000
GB = 1000 * MB


@dataclass
class Bench:
    """Handed to every benchmark: the server, a scratch folder, and the runtime for preparing rows."""

    server: LiveServer
    rt: Runtime
    scratch: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def token(self) -> str:
        return self.server.tokens["ada"]

    def client_env(self) -> dict[str, str]:
        """The environment of an official client that talks to this server as ada."""
        return os.environ | {
            "HF_ENDPOINT": self.server.url,
            "HF_TOKEN": self.token,
            "HF_HOME": str(self.scratch / "hf"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }


@contextmanager
def bench_server(folder: Path) -> Iterator[Bench]:
    home = folder / "home"
    rt = open_runtime(Settings(home=home))
    ensure_schema(rt)
    tokens = add_people(rt)
    with live_server(home) as server:
        server.tokens.update(tokens)
        yield Bench(server, rt, folder)
    rt.close()


def best_of(times: int, run: Callable[[], float]) -> float:
    return min(run() for _ in range(times))


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def curl_seconds(url: str, *extra: str) -> float:
    """Wall seconds of one download to /dev/null; raises when the answer is not 2xx."""
    out = subprocess.run(
        ["curl", "-sS", "-f", "-o", "/dev/null", "-w", "%{time_total}", *extra, url],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(out.stdout)


def request_rate(url: str, *, head: bool = False, connections: int = 16, duration_s: int = 5) -> float:
    """Requests per second by ApacheBench with keep-alive; raises when any answer is not 2xx."""
    command = ["ab", "-q", "-k", "-r", "-c", str(connections), "-t", str(duration_s), "-n", "1000000"]
    out = subprocess.run(
        [*command, *(["-i"] if head else []), url], capture_output=True, text=True, check=True
    ).stdout
    if "Non-2xx" in out:
        raise RuntimeError(f"{url}: {out}")
    found = re.search(r"Requests per second:\s+([\d.]+)", out)
    assert found, out
    return float(found.group(1))


def random_file(path: Path, size_bytes: int) -> str:
    """Write `size_bytes` random bytes; return their sha256."""
    digest = hashlib.sha256()
    with path.open("wb") as out:
        left = size_bytes
        while left:
            piece = os.urandom(min(4 * 1024 * 1024, left))
            digest.update(piece)
            out.write(piece)
            left -= len(piece)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


@contextmanager
def nginx(folder: Path, root: Path) -> Iterator[str]:
    """A one-worker nginx with sendfile over `root`; yields its address."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        f"""daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.err; user root;
events {{ worker_connections 256; }}
http {{ access_log off; sendfile on; tcp_nopush on; client_body_temp_path {folder}/nb;
proxy_temp_path {folder}/np; fastcgi_temp_path {folder}/nf;
uwsgi_temp_path {folder}/nu; scgi_temp_path {folder}/ns;
server {{ listen 127.0.0.1:{port}; root {root}; }} }}
"""
    )
    process = subprocess.Popen(["nginx", "-c", str(config), "-p", str(folder)])
    try:
        deadline = time.monotonic() + 10
        while subprocess.run(
            ["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{port}/"], check=False
        ).returncode:
            if time.monotonic() > deadline:
                raise RuntimeError("nginx did not start")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def memory_bytes(pid: int) -> int:
    """Proportional memory (PSS) of a process and all its children, in bytes."""
    total = 0
    for child in family(pid):
        try:
            text = Path(f"/proc/{child}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        found = re.search(r"^Pss:\s+(\d+) kB", text, re.M)
        total += int(found.group(1)) * 1024 if found else 0
    return total


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    out = [pid]
    for parent in out:
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except FileNotFoundError:
            continue
        out.extend(int(child) for child in children)
    return out
