"""Serving from end to end: HTTP at /v1, gateway, WebSocket, runner's sandbox, engine, and all the way back.

Beside it the same engine asked over its frames with nothing between, in turns in one run. The client reads
plain sockets: what it costs is taken from the same two processors.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks.report import Row
from benchmarks.serving import run_alone
from benchmarks.serving_engine import EngineProcess, Flood, make_model, make_prompts

if TYPE_CHECKING:
    from benchmarks.bench import Bench

MODEL = "ada/path"
WORDS, COUNT, ROUNDS, FIRSTS = 4096, 128, 4, 15
LIMIT_S = 120.0


def path(bench: Bench) -> Iterator[Row]:
    """Tokens a second at 1, 8 and 32 at once, and the first token of one request, warm."""
    from kit.serving import engine_runner, put_model

    folder = make_model(bench.scratch / "model", words=WORDS)
    put_model(bench.server, folder, MODEL)
    with engine_runner(bench.server, bench.scratch / "runner"):
        client = Client(bench.server.url, bench.token)
        _wait_for_runner(bench)
        client.flood(MODEL, make_prompts(1, WORDS), 2)
        engine = EngineProcess(folder)
        try:
            size = engine.facts["parameters"] / 1e6
            for number in (1, 8, 32):
                yield from _speed(client, engine, folder, number, size)
            yield _first(client, engine)
        finally:
            engine.close()


def cold(bench: Bench) -> Iterator[Row]:
    """From a request for a model that nobody has called yet to its first token; the better of three."""
    from kit.serving import engine_runner, put_model

    folder = make_model(bench.scratch / "model", words=WORDS)
    names = [f"ada/cold-{number}" for number in range(3)]
    for name in names:
        put_model(bench.server, folder, name)
    with engine_runner(bench.server, bench.scratch / "runner"):
        client = Client(bench.server.url, bench.token)
        _wait_for_runner(bench)
        found = [client.flood(name, make_prompts(1, WORDS), 1).first_s[0] for name in names]
    best = min(found)
    yield Row(
        "cold start of 10 M parameters through /v1, first token, s",
        f"{best:.2f} s",
        "6 s",
        best / 6,
        at_most=1,
    )


def _wait_for_runner(bench: Bench) -> None:
    """Until the hub knows a machine that serves. Raises RuntimeError."""
    from sqlalchemy import select

    from llmos.features.jobs.models import Runner

    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        with bench.rt.database.reading() as db:
            if any((one.about.get("serving") or {}).get("engines") for one in db.scalars(select(Runner))):
                return
        time.sleep(0.2)
    raise RuntimeError("No runner came.")


def _speed(client: Client, engine: EngineProcess, folder: Path, number: int, size: float) -> Iterator[Row]:
    ours: list[Flood] = []
    theirs: list[Flood] = []
    called: list[float] = []
    for seed in range(ROUNDS):
        # New prompts each time, the same for both: neither finds what it has read before.
        prompts = make_prompts(number, WORDS, seed=100 * number + seed)
        ours.append(client.flood(MODEL, prompts, COUNT))
        theirs.append(engine.flood(prompts, COUNT))
        called.append(run_alone(folder, "direct", number, COUNT))
    best, direct = max(flood.speed for flood in ours), max(flood.speed for flood in theirs)
    name = f"{number} at once, {size:.1f} M parameters, tokens/s: streamed by /v1 / "
    alone = max(called)
    yield Row(name + "its batch called", f"{best:.0f}", f"{alone:.0f}", best / alone)
    yield Row(name + "the engine's own frames", f"{best:.0f}", f"{direct:.0f}", best / direct, 0.95)


def _first(client: Client, engine: EngineProcess) -> Row:
    ours, theirs = [], []
    for seed in range(FIRSTS):
        prompts = make_prompts(1, WORDS, seed=9000 + seed)
        ours.append(client.flood(MODEL, prompts, 4).first_s[0])
        theirs.append(engine.flood(prompts, 4).first_s[0])
    added_ms = (median(ours) - median(theirs)) * 1e3
    return Row(
        "first token, warm (median): /v1 above the engine's own / 100 ms",
        f"{median(ours) * 1e3:.0f} ms",
        f"{median(theirs) * 1e3:.0f} ms",
        added_ms / 100,
        at_most=1,
    )


@dataclass
class Client:
    """As many streamed completions at once as there are prompts."""

    url: str
    token: str
    _place: Any = field(init=False)

    def __post_init__(self) -> None:
        self._place = urlsplit(self.url)

    def flood(self, model: str, prompts: list[list[int]], count: int) -> Flood:
        """`count` greedy tokens for each prompt. Raises RuntimeError for a refusal."""
        found, began = Flood(), time.perf_counter()
        with selectors.DefaultSelector() as waiting:
            for prompt in prompts:
                waiting.register(self._send(model, prompt, count), selectors.EVENT_READ, bytearray())
            while waiting.get_map():
                ready = waiting.select(LIMIT_S)
                if not ready:
                    raise RuntimeError("No answer came in time.")
                for key, _ in ready:
                    if not _read(key.fileobj, key.data, found, began):
                        waiting.unregister(key.fileobj)
        found.seconds = time.perf_counter() - began
        return found

    def _send(self, model: str, prompt: list[int], count: int) -> socket.socket:
        body = {"model": model, "prompt": prompt, "max_tokens": count, "temperature": 0, "ignore_eos": True}
        text = json.dumps(body | {"stream": True, "stream_options": {"include_usage": True}})
        wire = socket.create_connection((self._place.hostname, self._place.port), LIMIT_S)
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: {self._place.netloc}\r\nConnection: close\r\n"
            f"Authorization: Bearer {self.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(text)}\r\n\r\n"
        )
        wire.sendall((head + text).encode())
        return wire


def _read(wire: Any, data: bytearray, found: Flood, began: float) -> bool:
    """Take what there is of an answer; False once it is whole."""
    had_text = b"data: " in data
    piece = wire.recv(1 << 16)
    data += piece
    if not had_text and b"data: " in data:
        found.first_s.append(time.perf_counter() - began)
    if piece and b"[DONE]" not in data[-64:]:
        return True
    used = re.search(rb'"completion_tokens":(\d+)', data[-1000:])
    wire.close()
    if used is None:
        raise RuntimeError(data[-500:].decode("utf-8", "replace"))
    found.tokens += int(used[1])
    return False
