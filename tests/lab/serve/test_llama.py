"""llama.cpp beside transformers on one real GGUF file: the same words, chats, scores and grammars."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.serve.conftest import Frame, Talk, said
from llmos.lab.corpora import FetchError, corpus
from llmos.lab.serve.llama import has_llama

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_llama(), reason="llama-cpp-python is not installed (make setup-llamacpp)"),
]
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        (file,) = corpus("smollm2").rglob("*.gguf")
    except FetchError as error:
        pytest.skip(f"no GGUF file at hand: {error.message}")
    folder = tmp_path_factory.mktemp("models") / "smollm2"
    folder.mkdir()
    (folder / file.name).symlink_to(file)
    return folder


@pytest.fixture(scope="module")
def llama(folder: Path) -> Iterator[Talk]:
    talk = Talk(folder, engine="llama.cpp", max_context_tokens=512, max_streams=4)
    yield talk
    talk.close()


@pytest.fixture(scope="module")
def unpacked(folder: Path) -> Iterator[Talk]:
    talk = Talk(folder, engine="transformers", max_context_tokens=512, max_streams=4)
    yield talk
    talk.close()


def scores(talk: Talk, text: str) -> list[float]:
    frames = talk.ask(prompt=text, max_tokens=0, echo=True, logprobs=1)
    told = [token for frame in frames if frame["event"] == "prompt" for token in frame["tokens"]]
    return [token["logprob"] for token in told[1:]]


def test_it_scores_a_text_as_transformers_does(llama: Talk, unpacked: Talk) -> None:
    text = "The capital of France is Paris, and the capital of Italy is Rome."
    ours, theirs = scores(llama, text), scores(unpacked, text)
    assert len(ours) == len(theirs) > 10
    # Packed numbers are multiplied in whole numbers of eight bits.
    assert sum(abs(a - b) for a, b in zip(ours, theirs, strict=True)) / len(ours) < 0.15
    assert all(math.isfinite(value) for value in ours)


def test_it_answers_many_at_once_as_alone(llama: Talk) -> None:
    wishes = [{"messages": QUESTION, "seed": 7}, {"prompt": "Once upon a time", "temperature": 0, "n": 2}]
    alone = [said(llama.ask(max_tokens=8, **wish)) for wish in wishes]
    assert all(alone)
    numbers = [llama.send(call="generate", max_tokens=8, **wish) for wish in wishes * 3]
    together = [llama.wait(number) for number in numbers]
    assert [frames[-1]["event"] for frames in together] == ["done"] * 6
    both = together[1]
    assert said(both, 0) == said(both, 1)
    assert both[-1]["completion_tokens"] == 16


def test_it_keeps_to_schemas_stops_and_limits(llama: Talk) -> None:
    schema = {"type": "object", "properties": {"city": {"enum": ["Rome", "Paris"]}}, "required": ["city"]}
    grammar = {"kind": "json_schema", "json_schema": schema | {"additionalProperties": False}}
    found = json.loads(llama.text(messages=QUESTION, grammar=grammar, temperature=0, max_tokens=30))
    assert found["city"] in ("Rome", "Paris")
    stopped = llama.text(prompt="One, two, three,", stop=[","], temperature=0, max_tokens=20)
    assert "," not in stopped
    error: Frame = llama.ask(prompt="word " * 600, max_tokens=5)[-1]
    assert error["code"] == "context_length_exceeded"
    again = llama.ask(messages=QUESTION, max_tokens=1, temperature=0)[-1]
    assert again["cached_tokens"] > 10
    assert llama.ask("embed", inputs=["x"])[-1]["code"] == "task_not_supported"


def test_more_texts_than_its_cache_holds_take_turns(folder: Path) -> None:
    talk = Talk(folder, engine="llama.cpp", max_context_tokens=96, max_streams=4, num_blocks=2)
    try:
        numbers = [
            talk.send(call="generate", prompt=f"Number {n} is", max_tokens=60, temperature=0, ignore_eos=True)
            for n in range(6)
        ]
        ends = [talk.wait(number)[-1] for number in numbers]
        assert [(end["event"], end["completion_tokens"]) for end in ends] == [("done", 60)] * 6
    finally:
        talk.close()
