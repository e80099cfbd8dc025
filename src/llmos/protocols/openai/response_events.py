"""A response as a stream: each thing is announced, grows, and is said to be done."""

from __future__ import annotations

import secrets
from typing import Any

import orjson

from llmos.core.errors import LlmosError
from llmos.features.endpoints.calls import Served
from llmos.protocols.openai.calls import fingerprint
from llmos.protocols.openai.errors import error_object
from llmos.protocols.openai.responses import (
    Asked,
    call_item,
    ending,
    logprobs_of,
    message_item,
    response_json,
    text_part,
    usage_of,
)


class ResponseWriter:
    """Frames as the events of a response, numbered from 0."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._number = 0
        self._item_id = ""
        self._texts: list[str] = []
        self._logprobs: list[Any] = []
        self._output: list[dict[str, Any]] = []
        self._reason = "stop"
        self._fingerprint: str | None = None

    def _event(self, kind: str, **fields: Any) -> bytes:
        data = orjson.dumps({"type": kind, **fields, "sequence_number": self._number})
        self._number += 1
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)

    def begin(self, served: Served | None) -> bytes:
        self._fingerprint = fingerprint(served)
        response = response_json(self._asked, [], status="in_progress")
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def frame(self, frame: dict[str, Any]) -> bytes:
        event = frame["event"]
        if event == "delta":
            return self._delta(frame)
        if event == "finish":
            return self._finish(frame)
        if event == "done":
            return self._done(frame)
        return b""

    def _place(self, **more: Any) -> dict[str, Any]:
        return {"item_id": self._item_id, "output_index": len(self._output), **more}

    def _open(self) -> bytes:
        self._item_id = f"msg_{secrets.token_hex(12)}"
        item = message_item(self._item_id, "", [], "in_progress")
        return self._event(
            "response.output_item.added", output_index=len(self._output), item=item
        ) + self._event("response.content_part.added", **self._place(content_index=0, part=text_part("", [])))

    def _delta(self, frame: dict[str, Any]) -> bytes:
        text, tokens = frame.get("text", ""), frame.get("tokens") or []
        said = logprobs_of(tokens, self._asked.top)
        if not text and not said:
            return b""
        out = b"" if self._item_id else self._open()
        self._texts.append(text)
        self._logprobs += said
        fields = self._place(content_index=0, delta=text, logprobs=said)
        return out + self._event("response.output_text.delta", **fields)

    def _finish(self, frame: dict[str, Any]) -> bytes:
        self._reason = frame.get("reason") or "stop"
        calls = frame.get("tool_calls") or []
        out = b"" if self._item_id or calls else self._open()
        if self._item_id:
            out += self._close()
        return out + b"".join(self._call(call) for call in calls)

    def _close(self) -> bytes:
        text, said = "".join(self._texts), self._logprobs
        item = message_item(self._item_id, text, said, ending(self._reason)["status"])
        out = self._event(
            "response.output_text.done", **self._place(content_index=0, text=text, logprobs=said)
        )
        part = text_part(text, said)
        out += self._event("response.content_part.done", **self._place(content_index=0, part=part))
        out += self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
        return out

    def _call(self, call: dict[str, Any]) -> bytes:
        item = call_item(call)
        self._item_id, arguments = item["id"], item["arguments"]
        opened = item | {"status": "in_progress", "arguments": ""}
        out = self._event("response.output_item.added", output_index=len(self._output), item=opened)
        out += self._event("response.function_call_arguments.delta", **self._place(delta=arguments))
        named = self._place(arguments=arguments, name=item["name"])
        out += self._event("response.function_call_arguments.done", **named)
        out += self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
        return out

    def _done(self, frame: dict[str, Any]) -> bytes:
        end = ending(self._reason)
        more = {"usage": usage_of(frame), "system_fingerprint": self._fingerprint}
        response = response_json(self._asked, self._output, **end, **more)
        return self._event(f"response.{end['status']}", response=response)

    def error(self, error: LlmosError) -> bytes:
        said = error_object(error)
        # Clients raise at `error`; the flat fields are those of the event as it is documented.
        flat = {name: said[name] for name in ("code", "message", "param")}
        return self._event("error", error=said, **flat)
