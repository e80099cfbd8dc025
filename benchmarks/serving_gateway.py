"""What the way through the hub costs: /v1 over an engine that answers at once, beside that engine alone.

The engine is played here, on the runner's end of a real channel, so that nothing but the hub is measured.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks.report import Row

if TYPE_CHECKING:
    from benchmarks.bench import Bench

MODEL = "ada/played"
ROUNDS, TOKENS = 60, 400
FACTS = {"engine": "transformers", "task": "text-generation", "max_streams": 64, "has_chat_template": True}


def gateway(bench: Bench) -> Iterator[Row]:
    """Median of a request of one token, and what each further streamed token adds."""
    with _played(bench) as (http, spent):
        _ask(http, 1)
        short = _rounds(http, 1, ROUNDS)
        engine_s = median(spent[-ROUNDS:])
        plain = median(_seconds(lambda: http.get("/-/health").raise_for_status()) for _ in range(ROUNDS))
        long = _rounds(http, TOKENS, max(ROUNDS // 6, 5))
        added_ms = (short - engine_s - plain) * 1e3
        per_token_ms = (long - short) / (TOKENS - 1) * 1e3
    yield Row(
        "gateway: added to a request (median) / 5 ms", f"{added_ms:.2f} ms", "5 ms", added_ms / 5, at_most=1.0
    )
    yield Row(
        "gateway: each streamed token / 0.2 ms",
        f"{per_token_ms:.3f} ms",
        "0.2 ms",
        per_token_ms / 0.2,
        at_most=1.0,
    )


def _seconds(run: Any) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _rounds(http: httpx.Client, tokens: int, count: int) -> float:
    return median(_seconds(lambda: _ask(http, tokens)) for _ in range(count))


def _ask(http: httpx.Client, tokens: int) -> None:
    body = {"model": MODEL, "prompt": "x", "max_tokens": tokens, "stream": True}
    answer = http.post("/v1/completions", json=body)
    answer.raise_for_status()
    assert answer.text.rstrip().endswith("[DONE]")


@contextmanager
def _played(bench: Bench) -> Iterator[tuple[httpx.Client, list[float]]]:
    """A client of the hub, and the seconds the played engine took for each answer."""
    from huggingface_hub import HfApi

    from kit.engines import model_files
    from kit.runners import register

    api = HfApi(endpoint=bench.server.url, token=bench.token)
    api.create_repo(MODEL)
    for name, content in model_files().items():
        api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id=MODEL)
    token = register(bench.server, "played")
    spent: list[float] = []
    known = threading.Event()
    headers = {"Authorization": f"Bearer {bench.token}"}
    player = threading.Thread(target=_play, args=(bench.server.url, token, spent, known), daemon=True)
    player.start()
    assert known.wait(20)
    with httpx.Client(base_url=bench.server.url, headers=headers, timeout=60) as http:
        yield http, spent
    player.join(1)


def _play(url: str, token: str, spent: list[float], known: threading.Event) -> None:
    """Take the engine that is wanted, and answer every call with as many tokens as it asks for."""
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    serving = {"slots": 1, "free_slots": 1, "memory_bytes": 2**34, "free_memory_bytes": 2**34,
               "engines": ["transformers"]}  # fmt: skip
    hello = {
        "name": "played",
        "resources": {"cores": 1},
        "kinds": ["engine"],
        "serving": serving,
        "wait_s": 20,
    }
    auth = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, headers=auth, timeout=60) as http:
        http.post("/api/runners/hello", json=hello).raise_for_status()
        known.set()
        found = http.post("/api/runners/claim", json=hello | {"wait_s": 20}).json()
    job, lease = found["spec"]["job_id"], found["lease"]["lease_token"]
    address = f"{url.replace('http', 'ws', 1)}/api/runners/jobs/{job}/channel"
    with connect(address, additional_headers=auth | {"X-LLMOS-Lease": lease}, compression=None) as web:
        web.send(json.dumps({"event": "ready", "facts": FACTS}).encode())
        with contextlib.suppress(ConnectionClosed):
            _answer_all(web, spent)


def _answer_all(web: Any, spent: list[float]) -> None:
    for message in web:
        for line in message.split(b"\n"):
            call = json.loads(line) if line else {}
            if call.get("call") == "generate":
                spent.append(_seconds(lambda call=call: _answer(web, call)))


def _answer(web: Any, call: dict[str, Any]) -> None:
    number = call["id"]
    web.send(json.dumps({"id": number, "event": "start", "prompt_tokens": 1}).encode())
    for _ in range(call["max_tokens"]):
        # One message a token, as an engine sends that writes slower than this.
        web.send(b'{"id":%d,"event":"delta","index":0,"text":"word ","count":1}' % number)
    last = {"prompt_tokens": 1, "completion_tokens": call["max_tokens"], "cached_tokens": 0}
    ends = ({"event": "finish", "index": 0, "reason": "length"}, {"event": "done", **last})
    web.send(b"\n".join(json.dumps({"id": number, **end}).encode() for end in ends))
