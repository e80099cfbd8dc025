from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.tiny_models import make_model
from llmos.lab.serve.channel import Channel
from llmos.lab.serve.local import start_local
from llmos.wire.serving import EngineSpec

Frame = dict[str, Any]


class Talk:
    """An engine in a thread of this process, and the hub's end of its channel."""

    def __init__(self, folder: Path, *, base: Path | None = None, **spec: Any) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(60)
        self.socket, self._theirs = ours, theirs
        channel = Channel(theirs.fileno(), theirs.fileno())
        wish = EngineSpec(**spec)
        self.service, self.facts = start_local(folder, wish, channel, lambda stage, share: None, base=base)
        self._reader = ours.makefile("rb")
        self._thread = threading.Thread(target=self.service.run, daemon=True)
        self._thread.start()
        self._number = 0
        self.frames: dict[int, list[Frame]] = {}

    def send(self, **frame: Any) -> int:
        if "id" not in frame:
            self._number += 1
            frame["id"] = self._number
        self.socket.sendall(json.dumps(frame).encode() + b"\n")
        return int(frame["id"])

    def read(self) -> Frame:
        frame: Frame = json.loads(self._reader.readline())
        if "id" in frame:
            self.frames.setdefault(frame["id"], []).append(frame)
        return frame

    def wait(self, number: int) -> list[Frame]:
        """All frames of a call, up to its last."""
        while True:
            found = self.frames.get(number, [])
            if found and found[-1]["event"] in ("done", "result", "error"):
                return found
            self.read()

    def ask(self, call: str = "generate", **fields: Any) -> list[Frame]:
        return self.wait(self.send(call=call, **fields))

    def text(self, **fields: Any) -> str:
        frames = self.ask(**fields)
        assert frames[-1]["event"] == "done", frames[-1]
        return said(frames)

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._reader.close()
        self.socket.close()
        self._theirs.close()


def said(frames: list[Frame], index: int = 0) -> str:
    return "".join(f["text"] for f in frames if f["event"] == "delta" and f["index"] == index)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "tiny-llm")


@pytest.fixture(scope="module")
def talk(tiny: Path) -> Iterator[Talk]:
    engine = Talk(tiny)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def plain(tiny: Path) -> Any:
    """The same model, asked by transformers itself."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny).eval()


@pytest.fixture
def start() -> Iterator[Callable[..., Talk]]:
    made: list[Talk] = []

    def begin(folder: Path, **spec: Any) -> Talk:
        made.append(Talk(folder, **spec))
        return made[-1]

    yield begin
    for engine in made:
        engine.close()


os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
