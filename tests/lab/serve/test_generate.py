"""What the engine says, held against transformers asked directly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kit.tiny_models import make_model, tokenizer
from lab.serve.conftest import Talk, said

PROMPTS = [
    "The cat",
    "Once upon a time there was",
    "A",
    "In the beginning the old man and the sea and",
    "The",
]


def greedy(model: Any, ids: list[int], count: int) -> list[int]:
    found = model.generate(
        torch.tensor([ids]), max_new_tokens=count, do_sample=False, num_beams=1, pad_token_id=1
    )
    return [int(token) for token in found[0, len(ids) :]]


def ids_of(frames: list[dict[str, Any]], index: int = 0) -> list[int]:
    deltas = [f for f in frames if f["event"] == "delta" and f["index"] == index]
    return [token["id"] for frame in deltas for token in frame.get("tokens", ())]


def test_greedy_answers_beside_others_are_those_of_generate(talk: Talk, plain: Any) -> None:
    calls = [
        talk.send(call="generate", prompt=text, max_tokens=10 + n, temperature=0, logprobs=0, ignore_eos=True)
        for n, text in enumerate(PROMPTS * 3)
    ]
    for n, (number, text) in enumerate(zip(calls, PROMPTS * 3, strict=True)):
        frames = talk.wait(number)
        plain.generation_config.eos_token_id = None
        assert ids_of(frames) == greedy(plain, tokenizer()(text)["input_ids"], 10 + n)
        assert frames[0]["event"] == "start"
        assert [f["reason"] for f in frames if f["event"] == "finish"] == ["length"]
        assert frames[-1]["completion_tokens"] == 10 + n


def test_logprobs_are_those_of_a_plain_forward(talk: Talk, plain: Any) -> None:
    frames = talk.ask(prompt="Once upon a time", max_tokens=6, temperature=0, logprobs=4, echo=True)
    echoed = [token for f in frames if f["event"] == "prompt" for token in f["tokens"]]
    made = [token for f in frames if f["event"] == "delta" for token in f["tokens"]]
    ids = [token["id"] for token in echoed + made]
    with torch.no_grad():
        wanted = torch.log_softmax(plain(torch.tensor([ids])).logits[0].double(), dim=-1)
    assert echoed[0]["logprob"] is None
    for place, token in enumerate((echoed + made)[1:]):
        row = wanted[place]
        assert token["logprob"] == pytest.approx(float(row[token["id"]]), abs=1e-4)
        assert [t["id"] for t in token["top"]] == torch.topk(row, 4).indices.tolist()
        assert [t["logprob"] for t in token["top"]] == pytest.approx(
            torch.topk(row, 4).values.tolist(), abs=1e-4
        )
        assert token["entropy"] == pytest.approx(float(-(row.exp() * row).sum()), abs=1e-3)


def test_a_prompt_is_scored_without_an_answer(talk: Talk) -> None:
    frames = talk.ask(prompt="The cat sat on the mat", max_tokens=0, echo=True, logprobs=1)
    assert [f["event"] for f in frames if f["event"] == "delta"] == []
    assert frames[-1]["completion_tokens"] == 0
    echoed = [token for f in frames if f["event"] == "prompt" for token in f["tokens"]]
    assert bytes(b for token in echoed for b in token["bytes"]) == b"The cat sat on the mat"


def test_a_seed_says_the_same_whatever_is_beside_it(talk: Talk) -> None:
    wish = {"prompt": "The old man", "max_tokens": 20, "seed": 11, "temperature": 1.3, "top_p": 0.9}
    alone = talk.text(**wish)
    others = [talk.send(call="generate", prompt="A", max_tokens=30, seed=n) for n in range(7)]
    again = talk.send(call="generate", **wish)
    assert said(talk.wait(again)) == alone
    assert talk.text(**{**wish, "seed": 12}) != alone
    for number in others:
        talk.wait(number)


def test_choices_differ_and_each_repeats(talk: Talk) -> None:
    wish = {"prompt": "The", "max_tokens": 12, "seed": 5, "n": 3}
    first, second = talk.ask(**wish), talk.ask(**wish)
    texts = [said(first, index) for index in range(3)]
    assert len(set(texts)) == 3
    assert texts == [said(second, index) for index in range(3)]
    assert first[-1]["completion_tokens"] == sum(f["count"] for f in first if f["event"] == "delta")


def test_more_streams_than_rows_wait_their_turn(start: Callable[..., Talk], tiny: Path) -> None:
    engine = start(tiny, max_streams=2, page_size=64, num_blocks=4)
    wish = {"call": "generate", "max_tokens": 40, "temperature": 0, "ignore_eos": True}
    alone = {
        text: engine.text(prompt=text, **{k: v for k, v in wish.items() if k != "call"}) for text in PROMPTS
    }
    calls = [(text, engine.send(prompt=text, **wish)) for text in PROMPTS * 2]
    for text, number in calls:
        assert said(engine.wait(number)) == alone[text]


def test_what_was_read_before_is_not_read_again(start: Callable[..., Talk], tiny: Path) -> None:
    engine = start(tiny)
    long = "Once upon a time there was an old man who lived by the sea and"
    first = engine.ask(prompt=long, max_tokens=4, temperature=0)
    second = engine.ask(prompt=long, max_tokens=4, temperature=0)
    assert first[-1]["cached_tokens"] == 0
    assert second[-1]["cached_tokens"] == second[-1]["prompt_tokens"] - 1
    assert said(first) == said(second)


@pytest.mark.parametrize("family", ["gpt2", "qwen3"])
def test_other_families_say_what_generate_says(
    family: str, tmp_path: Path, start: Callable[..., Talk]
) -> None:
    from transformers import AutoModelForCausalLM

    engine = start(make_model(tmp_path / family, family))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / family).eval()
    model.generation_config.eos_token_id = None
    numbers = [
        engine.send(call="generate", prompt=text, max_tokens=9, temperature=0, logprobs=0, ignore_eos=True)
        for text in PROMPTS
    ]
    for text, number in zip(PROMPTS, numbers, strict=True):
        assert ids_of(engine.wait(number)) == greedy(model, tokenizer()(text)["input_ids"], 9)


def test_a_stop_string_across_tokens_ends_the_text_before_it(talk: Talk) -> None:
    whole = talk.text(prompt="The cat", max_tokens=30, seed=2)
    middle = len(whole) // 2
    stop = whole[middle : middle + 4]
    frames = talk.ask(prompt="The cat", max_tokens=30, seed=2, stop=["never this", stop])
    assert said(frames) == whole[: whole.index(stop)]
    assert [f["reason"] for f in frames if f["event"] == "finish"] == ["stop"]


def test_a_client_that_goes_frees_its_rows(talk: Talk) -> None:
    number = talk.send(call="generate", prompt="The", max_tokens=120, ignore_eos=True, n=4)
    while talk.read().get("id") != number:
        pass
    talk.send(id=number, call="cancel")
    assert talk.ask(prompt="The", max_tokens=2)[-1]["event"] == "done"
    assert talk.frames[number][-1]["event"] in ("start", "delta")
    assert talk.service.generating is not None
    assert not talk.service.generating.batch.rows


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"prompt": "The", "max_tokens": 500}, "context_length_exceeded", ["501", "128"]),
        ({"prompt": "cat " * 200}, "context_length_exceeded", ["128"]),
        ({"messages": [{"role": "user", "content": "hi"}]}, "no_chat_template", ["/v1/completions"]),
        ({"prompt": [1, 2, 4000]}, "invalid_request", ["prompt[2]", "399"]),
        ({"prompt": "a", "n": 99}, "invalid_request", ["n"]),
        ({"prompt": "a", "logit_bias": {"x": 1}}, "invalid_request", ["logit_bias"]),
        ({}, "invalid_request", ["prompt"]),
    ],
)
def test_a_call_that_cannot_be_answered_says_why(
    talk: Talk, fields: dict[str, Any], code: str, words: list[str]
) -> None:
    error = talk.ask(**fields)[-1]
    assert (error["event"], error["status"], error["code"]) == ("error", 400, code)
    for word in words:
        assert word in error["message"]
