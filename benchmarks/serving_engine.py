"""A real engine process and the hub's end of its frames, for whatever measures serving."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
Frame = dict[str, Any]


@dataclass
class Flood:
    """What some requests at once gave: tokens and seconds of all, time to each first token."""

    tokens: int = 0
    seconds: float = 0.0
    first_s: list[float] = field(default_factory=list)

    @property
    def speed(self) -> float:
        return self.tokens / self.seconds


class EngineProcess:
    """`python -m llmos.lab serve` on a folder; `started_s` from nothing to `ready`."""

    def __init__(self, folder: Path, **spec: Any) -> None:
        ours, theirs = socket.socketpair()
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "llmos.lab", "serve", "--model", str(folder),
                "--channel", str(theirs.fileno()), "--spec", json.dumps(spec),
            ],
            pass_fds=[theirs.fileno()],
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        self._socket, self._reader = ours, ours.makefile("rb")
        while True:
            frame = self.read()
            if frame.get("event") == "failed":
                raise RuntimeError(frame["message"])
            if frame.get("event") == "ready":
                break
        self.started_s = time.perf_counter() - began
        self.facts: Frame = frame["facts"]

    def read(self) -> Frame:
        line = self._reader.readline()
        if not line:
            raise RuntimeError("The engine ended.")
        frame: Frame = json.loads(line)
        return frame

    def flood(self, prompts: list[list[int]], count: int) -> Flood:
        """All prompts at once, `count` greedy tokens each."""
        wish = {"call": "generate", "max_tokens": count, "temperature": 0, "ignore_eos": True}
        lines = [json.dumps({"id": n, "prompt": prompt, **wish}) + "\n" for n, prompt in enumerate(prompts)]
        found, open_calls, first = Flood(), set(range(len(prompts))), set(range(len(prompts)))
        began = time.perf_counter()
        self._socket.sendall("".join(lines).encode())
        while open_calls:
            frame = self.read()
            number = frame.get("id")
            if frame["event"] == "delta" and number in first:
                first.remove(number)
                found.first_s.append(time.perf_counter() - began)
            elif frame["event"] == "error":
                raise RuntimeError(frame["message"])
            elif frame["event"] == "done":
                open_calls.remove(number)
                found.tokens += frame["completion_tokens"]
        found.seconds = time.perf_counter() - began
        return found

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait(30)
        self._reader.close()
        self._socket.close()


def make_prompts(number: int, words: int, *, seed: int = 5) -> list[list[int]]:
    """Different prompts of 24 to 48 tokens."""
    draw = random.Random(seed)
    return [[draw.randrange(3, words) for _ in range(draw.randint(24, 48))] for _ in range(number)]


def make_model(folder: Path, *, hidden: int = 320, layers: int = 6, words: int = 4096) -> Path:
    """A Llama of some 10 M parameters, untrained, with a tokenizer of bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from llmos.lab.samples import sample

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=words, special_tokens=["<s>", "</s>"], show_progress=False)
    made.train_from_iterator([sample("english.txt").read_text(encoding="utf-8")], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=words, hidden_size=hidden, intermediate_size=hidden * 3, num_hidden_layers=layers,
        num_attention_heads=hidden // 32, num_key_value_heads=hidden // 64, max_position_embeddings=1024,
        initializer_range=0.06, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
