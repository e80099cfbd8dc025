"""Engines of other people: vLLM in an environment of its own, an upstream."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from llmos.core.errors import LlmosError
from llmos.lab.serve.channel import Channel
from llmos.lab.serve.errors import CallError, CannotServe
from llmos.lab.serve.remote import Address, RemoteService, of_environment
from llmos.wire.serving import EngineFacts, EngineSpec

Say = Callable[[str, float], None]
_START_S = 1800.0


def start_upstream(spec: EngineSpec, channel: Channel, say: Say) -> tuple[RemoteService, EngineFacts]:
    """Raises CannotServe where nobody answers at the address."""
    address = of_environment()
    say("load", 0)
    return RemoteService(channel, address), _facts("upstream", address, spec)


def start_vllm(
    folder: Path, spec: EngineSpec, channel: Channel, say: Say
) -> tuple[RemoteService, EngineFacts]:
    """vLLM's own server behind a socket that only this process knows. Ends with this process."""
    program = find_vllm()
    if program is None:
        raise CannotServe(
            "vLLM is not installed here. Put it into an environment of its own: .venv-vllm beside .venv, or "
            "where LLMOS_VLLM points to its program.",
            code="no_engine",
        )
    say("load", 0)
    place = Path(tempfile.mkdtemp(prefix="llmos-vllm-")) / "socket"
    command = [str(program), "serve", str(folder), "--uds", str(place), "--served-model-name", "model"]
    if spec.max_context_tokens:
        command += ["--max-model-len", str(spec.max_context_tokens)]
    if spec.max_streams:
        command += ["--max-num-seqs", str(spec.max_streams)]
    if spec.dtype != "auto":
        command += ["--dtype", spec.dtype]
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=2, env=os.environ | {"VLLM_NO_USAGE_STATS": "1"}
    )
    address = Address(f"unix:{place}", model="model")
    try:
        facts = _wait(child, address, spec, say)
    except LlmosError:
        child.kill()
        raise
    service = RemoteService(channel, address)
    run = service.run

    def run_and_end() -> None:
        try:
            run()
        finally:
            child.terminate()
            child.wait(30)

    service.run = run_and_end  # type: ignore[method-assign]
    return service, facts


def find_vllm() -> Path | None:
    named = os.environ.get("LLMOS_VLLM")
    places = [Path(named)] if named else []
    places.append(Path(sys.prefix).parent / ".venv-vllm" / "bin" / "vllm")
    return next((place for place in places if place.is_file()), None)


def _wait(child: subprocess.Popen[bytes], address: Address, spec: EngineSpec, say: Say) -> EngineFacts:
    began = time.monotonic()
    while time.monotonic() - began < _START_S:
        if child.poll() is not None:
            raise CannotServe(
                f"vLLM ended with code {child.returncode}; its words are in the log.", code="no_engine"
            )
        try:
            facts = _facts("vllm", address, spec)
        except CallError:
            time.sleep(0.5)
            continue
        say("warm", 1)
        return facts
    raise CannotServe(f"vLLM was not ready after {_START_S:.0f} s.", code="no_engine")


def _facts(engine: str, address: Address, spec: EngineSpec) -> EngineFacts:
    model = address.first_model()
    if not address.model:
        address.model = str(model.get("id") or "")
    return EngineFacts(
        engine=engine,
        task=spec.task,
        tasks=("text-generation", "feature-extraction"),
        context_tokens=int(model.get("max_model_len") or spec.max_context_tokens or 0),
        max_streams=spec.max_streams or 256,
        has_chat_template=True,
        takes_tools=True,
    )
