"""The adapter to other servers, tried on a real one with an engine behind it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from kit.openai_server import openai_server
from lab.serve.conftest import Frame, Talk, said
from llmos.lab.serve.channel import Channel
from llmos.lab.serve.remote import Address, RemoteService


class Far:
    """An adapter in a thread, and the hub's end of its channel."""

    def __init__(self, address: Address) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.settimeout(30)
        self.service = RemoteService(Channel(self._theirs.fileno(), self._theirs.fileno()), address)
        self._thread = threading.Thread(target=self.service.run, daemon=True)
        self._thread.start()
        self._reader = self._ours.makefile("rb")

    def ask(self, call: str = "generate", **fields: Any) -> list[Frame]:
        self._ours.sendall(json.dumps({"id": 7, "call": call, **fields}).encode() + b"\n")
        frames: list[Frame] = []
        while not frames or frames[-1]["event"] not in ("done", "result", "error"):
            frames.append(json.loads(self._reader.readline()))
        return frames

    def close(self) -> None:
        self._ours.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._reader.close()
        self._ours.close()
        self._theirs.close()


@pytest.fixture(scope="module")
def far(talk: Talk) -> Iterator[Far]:
    with openai_server(talk, key="secret") as url:
        address = Address(url, "secret")
        assert address.first_model()["max_model_len"] == 128
        engine = Far(address)
        yield engine
        engine.close()


def test_an_answer_from_afar_is_the_engine_s_own(far: Far, talk: Talk) -> None:
    wish = {"prompt": "The old man", "max_tokens": 12, "seed": 3, "logprobs": 2, "n": 2}
    near, there = talk.ask(**wish), far.ask(**wish)
    assert [said(there, n) for n in (0, 1)] == [said(near, n) for n in (0, 1)]
    assert there[-1]["completion_tokens"] == near[-1]["completion_tokens"]
    one, other = ([t for f in x if f["event"] == "delta" for t in f["tokens"]] for x in (near, there))
    assert [t["logprob"] for t in other] == pytest.approx([t["logprob"] for t in one])
    assert [f["reason"] for f in there if f["event"] == "finish"] == ["length", "length"]


def test_an_echoed_prompt_is_told_apart_from_the_answer(far: Far) -> None:
    frames = far.ask(prompt="The cat", max_tokens=3, echo=True, logprobs=1, temperature=0)
    prompt = [t["text"] for f in frames if f["event"] == "prompt" for t in f["tokens"]]
    made = [t for f in frames if f["event"] == "delta" for t in f["tokens"]]
    assert "".join(prompt) == "The cat"
    assert len(made) == 3


def test_refusals_and_vectors_come_through(far: Far, talk: Talk) -> None:
    error = far.ask(messages=[{"role": "user", "content": "hi"}])[-1]
    assert (error["status"], error["code"]) == (400, "no_chat_template")
    assert far.ask(prompt="a", n=99)[-1]["param"] == "n"
    assert far.ask("explain", ids=[1, 2], position=1)[-1]["status"] == 501
    found = far.ask("embed", inputs=["a", "b c"])[-1]["result"]
    assert found == talk.ask("embed", inputs=["a", "b c"])[-1]["result"]


def test_a_wrong_key_and_a_server_that_is_gone(far: Far) -> None:
    stranger = Far(Address(far.service.address.url, "wrong"))
    assert stranger.ask(prompt="a")[-1]["code"] == "invalid_api_key"
    stranger.close()
    lost = Far(Address("http://127.0.0.1:9/v1"))
    assert lost.ask(prompt="a")[-1]["code"] == "upstream_gone"
    lost.close()
