"""The engine as a process: how it starts, what it refuses to start with, how it ends."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from llmos.lab.serve import sizing
from llmos.lab.serve.channel import Channel
from llmos.lab.serve.engine import serve
from llmos.lab.serve.errors import CannotServe
from llmos.wire.serving import EngineFacts, EngineSpec


def test_a_process_starts_answers_and_ends_with_its_channel(tiny: Path) -> None:
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "llmos.lab", "serve", "--model", str(tiny), "--channel", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stderr=subprocess.DEVNULL,
    )
    theirs.close()
    ours.settimeout(60)
    reader = ours.makefile("rb")
    ours.sendall(
        b'{"id": 1, "call": "generate", "prompt": "The", "max_tokens": 3}\nnonsense\n{"call": "tokenize"}\n'
    )
    frames: list[dict[str, Any]] = []
    while not frames or frames[-1]["event"] != "done":
        frames.append(json.loads(reader.readline()))
    stages = [frame["stage"] for frame in frames if frame["event"] == "stage"]
    assert list(dict.fromkeys(stages)) == ["import", "load", "warm"]
    (ready,) = [frame for frame in frames if frame["event"] == "ready"]
    facts = EngineFacts.model_validate(ready["facts"])
    assert (facts.vocabulary_size, facts.context_tokens, facts.dtype) == (400, 128, "float32")
    assert [f["id"] for f in frames if f["event"] == "error"] == [None, None]
    ours.sendall(b'{"id": 2, "call": "generate", "prompt": "The", "ignore_eos": true, "n": 4}\n')
    reader.readline()
    reader.close()
    ours.close()
    assert process.wait(20) == 0


def fails(folder: Path, spec: EngineSpec | None = None) -> dict[str, Any]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert serve(folder, spec or EngineSpec(), descriptor=os.dup(theirs.fileno())) == 2
        lines = [json.loads(line) for line in ours.recv(1 << 16).splitlines()]
    assert lines[-1]["event"] == "failed"
    return dict(lines[-1])


@pytest.mark.parametrize(
    ("names", "code", "words"),
    [
        (["pytorch_model.bin"], "pickle_only", "safetensors"),
        (["README.md"], "no_weights", "no weights"),
        (["model.safetensors"], "unknown_architecture", "config.json"),
    ],
)
def test_a_folder_that_cannot_be_served_says_why(
    tmp_path: Path, names: list[str], code: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"\x80\x04.")
    failed = fails(tmp_path)
    assert failed["code"] == code
    assert words in failed["message"]


def test_an_architecture_nobody_knows_and_damaged_weights(tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny, tmp_path / "m")
    (folder / "model.safetensors").write_bytes(b"not weights at all")
    assert fails(folder)["code"] == "bad_weights"
    (folder / "config.json").write_text('{"model_type": "mystery"}', encoding="utf-8")
    failed = fails(folder)
    assert failed["code"] == "unknown_architecture"
    assert "mystery" in failed["message"]


def test_code_of_a_repository_is_never_run(tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny, tmp_path / "m")
    trap = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(trap)!r}, 'w')", encoding="utf-8")
    config = {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert fails(folder)["code"] == "unknown_architecture"
    assert not trap.exists()


def test_too_large_a_model_is_refused_before_it_is_loaded(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizing, "allowed_bytes", lambda: 100 << 20)
    failed = fails(tiny)
    assert failed["code"] == "out_of_memory"
    assert failed["data"]["allowed_bytes"] == 100 << 20
    assert "100 MiB" in failed["message"]


def test_an_engine_that_is_not_here_is_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMOS_UPSTREAM_URL", raising=False)
    monkeypatch.delenv("LLMOS_VLLM", raising=False)
    assert "LLMOS_UPSTREAM_URL" in fails(tiny, EngineSpec(engine="upstream"))["message"]
    assert fails(tiny, EngineSpec(engine="vllm"))["code"] == "no_engine"


def test_weights_are_counted_from_their_headers(tmp_path: Path) -> None:
    import numpy as np

    save_file(
        {"a": np.zeros((3, 5), np.float32), "b": np.zeros(7, np.float16)}, tmp_path / "model.safetensors"
    )
    assert sizing.parameters_in(tmp_path) == (22, 74)
    (tmp_path / "more.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(CannotServe, match=r"more\.safetensors"):
        sizing.parameters_in(tmp_path)


def test_sizes_follow_the_memory(tiny: Path) -> None:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(tiny)
    each = sizing.cell_bytes(config, "float32")
    assert each == 2 * 2 * 2 * 8 * 4
    wide = sizing.choose_sizes(EngineSpec(), cell=each, weights=1 << 20, longest=4096, free=1 << 34)
    assert (wide.streams, wide.context, wide.cells) == (64, 4096, 64 * 2048)
    tight = sizing.choose_sizes(EngineSpec(), cell=each, weights=1 << 20, longest=4096, free=2 * each * 1024)
    assert (tight.streams, tight.context) == (8, 1024)
    named = sizing.choose_sizes(
        EngineSpec(max_streams=3, num_blocks=10, page_size=128, max_batch_tokens=64),
        cell=each, weights=1 << 20, longest=1000, free=1 << 34,
    )  # fmt: skip
    assert named == sizing.Sizes(1280, 3, 64, 1000)


def test_a_channel_carries_much_and_notices_the_end() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(theirs.fileno(), theirs.fileno())
    channel.send({"text": "春" * 500_000})
    channel.flush()
    reader = ours.makefile("rb")
    line = b""
    while not line.endswith(b"\n"):
        line += reader.read1(1 << 20)
        channel.flush()
    assert json.loads(line)["text"] == "春" * 500_000
    ours.sendall(b'{"id": 1}\n[1]\n{"id"')
    assert channel.poll(1) == [{"id": 1}, {"call": None}]
    reader.close()
    ours.close()
    channel.poll(1)
    assert channel.closed
    theirs.close()
