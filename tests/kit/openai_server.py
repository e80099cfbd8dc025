"""A small server of OpenAI's completions and chats over an engine, for adapters to be tried on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_FIELDS = ("prompt", "messages", "max_tokens", "temperature", "seed", "n", "stop", "echo", "top_k")


@contextmanager
def openai_server(talk: Any, *, key: str = "") -> Iterator[str]:
    """Its address. `talk` is an engine in this process; calls wait for each other."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            return

        def do_GET(self) -> None:
            self._json(200, {"data": [{"id": "tiny", "max_model_len": 128}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if key and self.headers["authorization"] != f"Bearer {key}":
                self._json(401, {"error": {"message": "Wrong key.", "code": "invalid_api_key"}})
                return
            with lock:
                status, found = (
                    _vectors(talk, body) if self.path.endswith("/embeddings") else _asked(talk, body)
                )
            if isinstance(found, list):
                self._stream(found)
            else:
                self._json(status, found)

        def _stream(self, chunks: list[Any]) -> None:
            self.send_response(200)
            self.end_headers()
            for chunk in chunks:
                self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            self.wfile.write(b"data: [DONE]\n\n")

        def _json(self, status: int, body: Any) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _vectors(talk: Any, body: dict[str, Any]) -> tuple[int, Any]:
    found = talk.ask("embed", inputs=body["input"])[-1]["result"]
    data = [{"index": n, "embedding": vector} for n, vector in enumerate(found["embeddings"])]
    return 200, {"data": data, "usage": {"prompt_tokens": found["prompt_tokens"]}}


def _asked(talk: Any, body: dict[str, Any]) -> tuple[int, Any]:
    """Status and answer; a list of chunks where a stream is wanted."""
    logprobs = body.get("top_logprobs", body.get("logprobs"))
    wish = {name: body[name] for name in _FIELDS if name in body}
    frames = talk.ask(**wish, **({} if logprobs is None else {"logprobs": logprobs}))
    last = frames[-1]
    if last["event"] == "error":
        return last["status"], {"error": {name: last[name] for name in ("message", "code", "param")}}
    if not body.get("stream"):
        return 200, _whole(frames, body)
    chunks = [_chunk(f, "messages" in body) for f in frames if f["event"] in ("delta", "finish")]
    return 200, [*chunks, {"choices": [], "usage": _used(last)}]


def _used(last: dict[str, Any]) -> dict[str, Any]:
    return {name: last[name] for name in ("prompt_tokens", "completion_tokens")}


def _chunk(frame: dict[str, Any], is_chat: bool) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": frame["index"], "finish_reason": frame.get("reason")}
    text, tokens = frame.get("text", ""), frame.get("tokens")
    choice |= {"delta": {"content": text}} if is_chat else {"text": text}
    if tokens:
        choice["logprobs"] = {
            "content": [
                {
                    "token": t["text"],
                    "logprob": t["logprob"],
                    "bytes": t["bytes"],
                    "top_logprobs": [{"token": o["text"], "logprob": o["logprob"]} for o in t["top"]],
                }
                for t in tokens
            ]
        }
    return {"choices": [choice]}


def _whole(frames: list[Any], body: dict[str, Any]) -> dict[str, Any]:
    """An answer with its prompt echoed, and the places of its tokens."""
    tokens = [t for f in frames for t in f.get("tokens", ())]
    offsets, place = [], 0
    for token in tokens:
        offsets.append(place)
        place += len(token["text"])
    said = "".join(f["text"] for f in frames if f["event"] == "delta")
    logprobs = {
        "tokens": [t["text"] for t in tokens],
        "token_logprobs": [t["logprob"] for t in tokens],
        "top_logprobs": [{o["text"]: o["logprob"] for o in t["top"]} for t in tokens],
        "text_offset": offsets,
    }
    choice = {"index": 0, "text": body["prompt"] + said, "logprobs": logprobs, "finish_reason": "length"}
    return {"choices": [choice], "usage": _used(frames[-1])}
