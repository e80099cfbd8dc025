"""Two hundred people ask one model at once on two processors: nobody hangs, all know where they are."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from kit.people import add_people
from kit.server import LiveServer, live_server
from kit.serving import engine_runner, put_model, tiny_chat_model
from llmos.app.schema import ensure_schema
from llmos.infra.runtime import open_runtime
from llmos.infra.settings import Settings
from llmos.runner.bubblewrap import probe_isolation

pytestmark = pytest.mark.slow

PEOPLE, QUEUE, WORDS = 200, 100, 450
MODEL = "ada/asked-by-all"
LIMIT_S = 240.0
MB = 1_000_000


@dataclass
class Answer:
    """What one connection got. `place` is the first it was told, `words` what the model wrote."""

    status: int = 0
    retry_after: str = ""
    place: int = 0
    tokens: int = 0
    is_whole: bool = False


async def ask(server: LiveServer, words: int) -> Answer:
    """A streamed completion over a connection of its own, read to its end."""
    body = {"model": MODEL, "prompt": "The", "max_tokens": words, "ignore_eos": True, "stream": True}
    text = json.dumps(body | {"stream_options": {"include_usage": True}}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Authorization: Bearer {server.tokens['ada']}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(text)}\r\n\r\n".encode()
        + text
    )
    data = (await reader.read()).decode()
    writer.close()
    head, _, rest = data.partition("\r\n\r\n")
    answer = Answer(status=int(head.split()[1]))
    if found := re.search(r"(?im)^retry-after: (\d+)", head):
        answer.retry_after = found[1]
    if found := re.search(r": waiting: queued (\d+)", rest):
        answer.place = int(found[1])
    if found := re.search(r'"completion_tokens":(\d+)', rest):
        answer.tokens = int(found[1])
    answer.is_whole = "[DONE]" in rest and '"error"' not in rest
    return answer


async def watch(server: LiveServer, seconds: list[float]) -> None:
    """Look at the model's page again and again."""
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        while True:
            began = time.perf_counter()
            answer = await http.get(f"/{MODEL}")
            assert answer.status_code == 200
            seconds.append(time.perf_counter() - began)
            await asyncio.sleep(0.5)


async def flood(server: LiveServer, seconds: list[float]) -> list[Answer]:
    looking = asyncio.create_task(watch(server, seconds))
    answers = await asyncio.wait_for(asyncio.gather(*(ask(server, WORDS) for _ in range(PEOPLE))), LIMIT_S)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    assert looking.cancelled(), looking.exception()
    return answers


def test_two_hundred_at_once(tmp_path: Path) -> None:
    if problem := probe_isolation().reason:
        pytest.skip(problem)
    rt = open_runtime(Settings(home=tmp_path / "home"))
    ensure_schema(rt)
    tokens = add_people(rt)
    rt.close()
    with live_server(tmp_path / "home", serve_queue=str(QUEUE)) as server:
        server.tokens.update(tokens)
        put_model(server, tiny_chat_model(tmp_path / "model"), MODEL)
        with engine_runner(server, tmp_path / "runner"):
            _wait_until_it_answers(server)
            streams = _most_streams(server)
            before = held_bytes(server.process.pid)
            seconds: list[float] = []
            answers = asyncio.run(flood(server, seconds))
            grown = held_bytes(server.process.pid) - before
            again = asyncio.run(ask(server, 3))
    refused = [answer for answer in answers if answer.status == 429]
    answered = [answer for answer in answers if answer.status == 200]
    assert len(answered) + len(refused) == PEOPLE, [answer.status for answer in answers]
    assert len(refused) == PEOPLE - streams - QUEUE
    assert all(int(answer.retry_after) > 0 for answer in refused)
    assert all(answer.is_whole and answer.tokens == WORDS for answer in answered)
    told = [answer.place for answer in answered if answer.place]
    assert told, "nobody waited long enough to be told a place"
    assert all(1 <= place <= QUEUE for place in told)
    assert len(seconds) >= 3
    assert sorted(seconds)[len(seconds) // 2] < 3
    assert max(seconds) < 15
    assert grown < 100 * MB
    assert again.is_whole


def held_bytes(pid: int) -> int:
    """Memory of a process and its children, what they share counted once."""
    total = sum(held_bytes(int(child)) for child in _read(pid, f"task/{pid}/children").split())
    found = re.search(r"(?m)^Pss:\s+(\d+) kB", _read(pid, "smaps_rollup"))
    return total + (int(found[1]) * 1024 if found else 0)


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def _wait_until_it_answers(server: LiveServer) -> None:
    ends = time.monotonic() + LIMIT_S
    while not asyncio.run(ask(server, 2)).is_whole:
        assert time.monotonic() < ends, server.log()[-2000:]
        time.sleep(0.5)


def _most_streams(server: LiveServer) -> int:
    """How many answers the engine writes at once, as it says itself."""
    headers = {"Authorization": f"Bearer {server.tokens['ada']}"}
    found = httpx.get(f"{server.url}/api/endpoints", headers=headers).raise_for_status().json()
    facts = next(one for one in found if one["model"] == MODEL)["replicas"][0]["facts"]
    return int(facts["max_streams"])
