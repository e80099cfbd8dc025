"""From a folder to an engine that answers: stages, facts, the loop, and the sentence it fails with."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from llmos.core.errors import LlmosError
from llmos.lab.serve.channel import Channel
from llmos.lab.serve.errors import CannotServe
from llmos.lab.serve.imports import lean
from llmos.wire.serving import EngineFacts, EngineSpec

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".msgpack", ".h5")


def serve(folder: Path, spec: EngineSpec, *, descriptor: int | None, base: Path | None = None) -> int:
    """Serve the model in `folder` over a socket, or over stdin and stdout. 0 once that is closed.

    An adapter changes the model in `base`.
    """
    started = time.monotonic()
    channel = _open(descriptor)
    try:
        service, facts = _start(folder, spec, channel, base)
    except LlmosError as error:
        channel.send({"event": "failed", "code": error.code, "message": error.message, "data": error.data})
        channel.drain()
        print(error.message, file=sys.stderr)
        return 2
    facts = facts.model_copy(update={"start_s": round(time.monotonic() - started, 3)})
    channel.send({"event": "ready", "facts": facts.model_dump(mode="json")})
    channel.flush()
    service.run()
    return 0


def _open(descriptor: int | None) -> Channel:
    if descriptor is not None:
        return Channel(descriptor, descriptor)
    # Whatever a library prints goes to the log, not between the frames.
    out = os.dup(1)
    os.dup2(2, 1)
    return Channel(0, out)


def _check(folder: Path) -> None:
    """Raises CannotServe for a folder without weights that can be read safely."""
    if not folder.is_dir():
        raise CannotServe(f"{folder} is no folder.", code="no_weights")
    names = sorted(path.name for path in folder.iterdir())
    if any(name.endswith((".safetensors", ".gguf")) for name in names):
        return
    pickled = [name for name in names if name.endswith(_PICKLES)]
    if pickled:
        raise CannotServe(
            f"The weights lie in {pickled[0]} only, a format that can run code when it is opened. Convert "
            "them to safetensors: load the model where you trust it and save_pretrained it.",
            code="pickle_only",
        )
    raise CannotServe("There are no weights (*.safetensors or *.gguf) in this revision.", code="no_weights")


def _start(folder: Path, spec: EngineSpec, channel: Channel, base: Path | None) -> tuple[Any, EngineFacts]:
    def say(stage: str, share: float) -> None:
        channel.send({"event": "stage", "stage": stage, "share": round(share, 3)})
        channel.flush()

    from llmos.lab.serve import beside

    if spec.engine == "upstream":
        return beside.start_upstream(spec, channel, say)
    _check(folder)
    say("import", 0)
    if spec.engine == "vllm":
        return beside.start_vllm(folder, spec, channel, say)
    with lean():
        say("import", 0.5)
        from llmos.lab.serve.local import start_local

        say("import", 1)
        return start_local(folder, spec, channel, say, base=base)
