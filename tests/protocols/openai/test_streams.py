"""Frames of an engine as events: read back with the types of the clients that read them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import pytest
from huggingface_hub import TextGenerationStreamOutput
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from starlette.requests import ClientDisconnect, Request

from llmos.core.errors import LlmosError
from llmos.features.endpoints.calls import CallStream, Served
from llmos.protocols.inference.text_generation import GenerationWriter, read_generation
from llmos.protocols.openai import sse
from llmos.protocols.openai.calls import Answer, collect, collect_for
from llmos.protocols.openai.chat import ChatWriter, chat_json, read_chat
from llmos.protocols.openai.completions import CompletionWriter, completion_json, read_completion
from llmos.protocols.openai.response_events import ResponseWriter
from llmos.protocols.openai.responses import read_response, whole_response
from llmos.protocols.openai.sse import EventAnswer, Writer

SERVED = Served(1, "ada/tiny", "0123456789abcdef" * 2 + "01234567")
CHAT = {"model": "ada/tiny", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
Frame = dict[str, Any]


def stream_of(given: list[Frame]) -> CallStream:
    """A call with an engine that has said this much, and goes on unless it was the last."""
    stream = CallStream()
    stream.served = SERVED
    for frame in given:
        stream.push(dict(frame))
    return stream


def whole(given: list[Frame]) -> Answer:
    async def read() -> Answer:
        return await collect(stream_of(given))

    return asyncio.run(read())


def token(text: str, logprob: float | None = -0.5, number: int = 7) -> Frame:
    top = [{"id": 9, "text": "x", "bytes": [120], "logprob": -0.25}]
    return {"id": number, "text": text, "bytes": list(text.encode()), "logprob": logprob, "top": top}


def frames(*texts: str, **finish: Any) -> list[Frame]:
    said = [
        {"event": "delta", "index": 0, "text": text, "count": 1, "tokens": [token(text)]} for text in texts
    ]
    return [
        {"event": "waiting", "stage": "load"},
        {"event": "start", "prompt_tokens": 3},
        *said,
        {"event": "finish", "index": 0, "reason": "stop"} | finish,
        {"event": "done", "prompt_tokens": 3, "completion_tokens": len(texts), "cached_tokens": 1},
    ]


def events(data: bytes) -> list[Any]:
    lines = [line for line in data.split(b"\n") if line.startswith(b"data:")]
    return [line[5:].strip() if b"[DONE]" in line else orjson.loads(line[5:]) for line in lines]


def written(writer: Writer, given: list[Frame]) -> list[Any]:
    data = writer.begin(SERVED) + b"".join(
        writer.frame(frame) for frame in given if frame["event"] not in ("waiting", "start")
    )
    return events(data)


def test_a_chat_stream_reads_as_the_client_expects() -> None:
    asked = read_chat(CHAT | {"logprobs": True, "top_logprobs": 1, "stream_options": {"include_usage": True}})
    found = written(ChatWriter(asked), frames("He", "llo \u00e9"))
    assert found[-1] == b"[DONE]"
    chunks = [ChatCompletionChunk.model_validate(chunk, strict=True) for chunk in found[:-1]]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == "Hello \u00e9"
    assert chunks[1].choices[0].logprobs is not None
    assert chunks[1].choices[0].logprobs.content is not None
    assert chunks[1].choices[0].logprobs.content[0].top_logprobs[0].logprob == -0.25
    assert [c.choices[0].finish_reason for c in chunks[:-1]] == [None, None, None, "stop"]
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.total_tokens, chunks[-1].choices) == (5, [])
    assert {c.id for c in chunks} == {chunks[0].id}
    assert chunks[0].system_fingerprint == SERVED.revision[:12]


def test_tool_calls_come_as_deltas_and_whole() -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "look", "arguments": '{"a": 1}'},
        "index": 0,
    }
    given = frames(reason="tool_calls", tool_calls=[call])
    tools = {"tools": [{"type": "function", "function": {"name": "look"}}]}
    asked = read_chat(CHAT | tools)
    chunks = [
        ChatCompletionChunk.model_validate(c, strict=True) for c in written(ChatWriter(asked), given)[:-1]
    ]
    told = [c.choices[0].delta.tool_calls for c in chunks if c.choices[0].delta.tool_calls]
    assert told[0] is not None
    assert told[0][0].function is not None
    assert told[0][0].function.arguments == '{"a": 1}'
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    found = ChatCompletion.model_validate(chat_json(asked, whole(given)), strict=True)
    assert found.choices[0].message.tool_calls is not None
    assert "index" not in (found.choices[0].message.tool_calls[0].model_extra or {})
    assert found.choices[0].message.content is None


def test_responses_number_their_events_and_end_whole() -> None:
    asked = read_response({"model": "m", "input": "Hi", "stream": True, "top_logprobs": 1})
    found = [EVENT.validate_python(event) for event in written(ResponseWriter(asked), frames("He", "llo"))]
    assert [event.sequence_number for event in found] == list(range(len(found)))
    assert [event.type.removeprefix("response.") for event in found] == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.delta", "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert found[-1].response.output_text == "Hello"
    complete = Response.model_validate(whole_response(asked, whole(frames("He", "llo"))))
    assert complete.output_text == "Hello"
    assert complete.usage is not None
    assert complete.usage.total_tokens == 5


def test_a_response_that_was_cut_says_so() -> None:
    asked = read_response({"model": "m", "input": "Hi"})
    found = written(ResponseWriter(asked), frames("He", reason="length"))
    assert found[-1]["type"] == "response.incomplete"
    assert found[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def echoed() -> list[Frame]:
    """A prompt "é b" that begins with a mark of the model's own, of which é takes two tokens."""
    start = {"id": 1, "text": "<s>", "bytes": list(b"<s>"), "logprob": None, "top": []}
    half = {"id": 2, "text": "\ufffd", "bytes": [0xC3], "logprob": -1.0, "top": []}
    other = {"id": 3, "text": "\ufffd", "bytes": [0xA9], "logprob": -2.0, "top": []}
    parts = [{"event": "prompt", "tokens": tokens} for tokens in ([start, half], [other, token(" b")])]
    return [*parts, *frames("c")]


@pytest.mark.parametrize("is_stream", [False, True])
def test_an_echo_tells_where_each_token_begins(*, is_stream: bool) -> None:
    asked = read_completion(
        {"model": "m", "prompt": "\u00e9 b", "echo": True, "logprobs": 1, "stream": is_stream}
    )
    if is_stream:
        parts = [chunk["choices"][0] for chunk in written(CompletionWriter(asked), echoed())[:-1]]
    else:
        parts = completion_json(asked, whole(echoed()))["choices"]
    assert "".join(part["text"] for part in parts) == "\u00e9 bc"
    told = [part["logprobs"] for part in parts if part["logprobs"] is not None]
    joined = {field: [value for one in told for value in one[field]] for field in told[0]}
    assert joined["tokens"] == ["<s>", "bytes:\\xc3", "bytes:\\xa9", " b", "c"]
    assert joined["text_offset"] == [0, 0, 0, 1, 3]
    assert joined["token_logprobs"] == [None, -1.0, -2.0, -0.5, -0.5]
    assert joined["top_logprobs"][0] is None
    assert joined["top_logprobs"][-1] == {"x": -0.25, "c": -0.5}


def test_the_hubs_stream_holds_the_last_token_back() -> None:
    asked = read_generation({"inputs": "Hi", "stream": True, "parameters": {"details": True, "seed": 3}})
    found = written(GenerationWriter(asked), frames("He", "llo"))
    tokens = [TextGenerationStreamOutput.parse_obj_as_instance(event) for event in found]
    assert [one.token.text for one in tokens] == ["He", "llo"]
    assert [one.generated_text for one in tokens] == [None, "Hello"]
    assert tokens[-1].details is not None
    assert (tokens[-1].details.finish_reason, tokens[-1].details.seed) == ("eos_token", 3)


class Wire:
    """The server's side of one request: what was sent; `gone` when the client leaves."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.gone = asyncio.Event()

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


async def run(stream: CallStream, wire: Wire) -> None:
    await EventAnswer(stream, ChatWriter(read_chat(CHAT)))({"type": "http"}, wire.receive, wire.send)


ERROR = {
    "event": "error",
    "status": 400,
    "code": "context_length_exceeded",
    "message": "9 > 4",
    "param": "messages",
}


def test_a_refusal_before_the_first_token_keeps_its_status() -> None:
    async def check() -> None:
        wire, stream = Wire(), stream_of([{"event": "waiting"}, {"event": "start"}, ERROR])
        with pytest.raises(LlmosError) as caught:
            await run(stream, wire)
        assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")
        assert wire.sent == []
        assert stream.is_over

    asyncio.run(check())


def test_a_refusal_after_it_is_an_event() -> None:
    async def check() -> None:
        wire = Wire()
        await run(stream_of([*frames("He")[:3], ERROR | {"status": 503, "code": "engine_lost"}]), wire)
        found = events(wire.body)
        assert found[-2]["error"] == {
            "message": "9 > 4", "type": "server_error", "param": "messages", "code": "engine_lost",
        }  # fmt: skip
        assert wire.sent[0]["status"] == 200
        assert wire.sent[-1]["more_body"] is False
        assert (b"x-llmos-revision", SERVED.revision.encode()) in wire.sent[0]["headers"]

    asyncio.run(check())


def test_who_leaves_ends_the_call() -> None:
    async def check() -> None:
        wire, stream = Wire(), stream_of(frames("He")[:3])
        cancelled: list[bool] = []
        stream.cancel = lambda: cancelled.append(True)
        running = asyncio.ensure_future(run(stream, wire))
        while b"He" not in wire.body:
            await asyncio.sleep(0)
        assert not cancelled
        wire.gone.set()
        await running
        assert stream.is_over
        assert cancelled == [True]

    asyncio.run(check())


def test_comments_keep_a_waiting_stream_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "BEGIN_S", 0.01)
    monkeypatch.setattr(sse, "PING_S", 0.01)

    async def check() -> None:
        wire, stream = Wire(), stream_of([{"event": "waiting", "stage": "load"}])
        running = asyncio.ensure_future(run(stream, wire))
        while wire.body.count(b": waiting: load\n\n") < 2:
            await asyncio.sleep(0.005)
        wire.gone.set()
        await running
        assert wire.sent[0]["status"] == 200

    asyncio.run(check())


def test_a_streamed_token_costs_little() -> None:
    """A fifth of a millisecond is the goal of the whole gateway; this is the writer's part, in CPU time."""
    writer = ChatWriter(read_chat(CHAT))
    writer.begin(SERVED)
    frame = {"event": "delta", "index": 0, "text": "token", "count": 1}
    begun = time.process_time()
    for _ in range(2000):
        writer.frame(frame)
    assert (time.process_time() - begun) / 2000 < 5e-5


def test_nobody_waits_for_an_answer_whose_reader_is_gone() -> None:
    async def check() -> None:
        wire, stream = Wire(), stream_of([])
        wire.gone.set()
        with pytest.raises(ClientDisconnect):
            await collect_for(Request({"type": "http"}, wire.receive), stream)
        assert stream.is_over

    asyncio.run(check())
