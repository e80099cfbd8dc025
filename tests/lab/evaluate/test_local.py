"""The local engine against full forwards without a cache, in every batch and with any number of threads."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.tiny_models import LENGTH, make_model, tokenizer
from llmos.lab.evaluate.engines import forward
from llmos.lab.evaluate.engines.base import (
    EmptyContinuation,
    EngineError,
    GenerateRequest,
    NotANumber,
    Request,
    TooLong,
)
from llmos.lab.evaluate.engines.grouping import alike, windows
from llmos.lab.evaluate.engines.local import LocalEngine

SHOTS = (
    "Question: what is a nation?\nAnswer: people who agree\n\nQuestion: what is law?\nAnswer: a promise\n\n"
)
ASKED = (
    "Who are we",
    "What of the people of the United States of America",
    "Why",
    "Is it so ",
    "When we met",
)
ENDS = (" for ever", " no", " because the people said so", " no", " a")


def questions() -> list[Request]:
    """With examples and without, of one token and of many, with blanks at the end, and nothing before."""
    found = [Request(f"{SHOTS}Question: {text}?\nAnswer:", ENDS, f"q{n}") for n, text in enumerate(ASKED)]
    found += [Request(text, ENDS[:2], text) for text in ASKED]
    return [*found, Request("", ["We the people", "1789"], "bare"), Request("We ", ["are"], "blank")]


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def by_hand(model: Any, request: Request) -> list[tuple[float, bool]]:
    """One whole forward a choice, in double precision, from the definition."""
    words = tokenizer()
    found = []
    for end in request.continuations:
        context = str(request.context).rstrip()
        moved = str(request.context)[len(context) :] + end
        start = words(context)["input_ids"] if context else [words.bos_token_id]
        wanted = (words(context + moved) if context else words(moved))["input_ids"]
        wanted = wanted[len(start) :] if context else wanted
        with torch.no_grad():
            logits = model.double()(torch.tensor([start + wanted])).logits[0, len(start) - 1 : -1]
        logprobs = torch.log_softmax(logits, -1)
        total = sum(float(logprobs[n, token]) for n, token in enumerate(wanted))
        found.append((total, logits.argmax(-1).tolist() == wanted))
    return found


def test_likelihoods_equal_whole_forwards(tiny_llama: Path) -> None:
    engine, oracle = LocalEngine(tiny_llama), LocalEngine(tiny_llama).model
    for request, row in zip(questions(), engine.loglikelihoods(questions()), strict=True):
        for score, (logprob, greedy) in zip(row, by_hand(oracle, request), strict=True):
            assert score.logprob == pytest.approx(logprob, abs=1e-4)
            assert score.is_greedy == greedy or score.near
    settled = engine.settle(questions())
    assert settled is not None
    for request, row in zip(questions(), settled, strict=True):
        # Norms of this family are in single precision always.
        assert [s.logprob for s in row] == pytest.approx([x for x, _ in by_hand(oracle, request)], abs=2e-5)


def test_what_is_shared_is_computed_once(tiny_llama: Path) -> None:
    engine = LocalEngine(tiny_llama)
    asked = [Request(f"{SHOTS}Question: {text}?\nAnswer:", ENDS) for text in ASKED]
    engine.loglikelihoods(asked)
    shots = len(tokenizer()(SHOTS)["input_ids"])
    whole = sum(len(tokenizer()(str(r.context) + end)["input_ids"]) for r in asked for end in ENDS)
    assert engine.tokens < whole / 5
    assert engine.tokens < shots + len(ASKED) * 60


def test_batches_and_threads_change_no_decision(tiny_llama: Path) -> None:
    found = []
    for size, threads in itertools.product((1, 4, 16), (1, 2)):
        torch.set_num_threads(threads)
        engine = LocalEngine(tiny_llama, batch_size=size)
        texts = [SHOTS * 3, "We", "Of the people, by the people"]
        asked = [GenerateRequest(text, max_new_tokens=6, temperature=t) for text in ASKED[:3] for t in (0, 1)]
        found.append(
            (
                [score.logprob for row in engine.loglikelihoods(questions()) for score in row],
                [r.logprob for r in engine.rolling(texts)],
                [made.text for made in engine.generate(asked)],
                [[s.logprob for s in row] for row in engine.settle(questions()) or []],
            )
        )
    for scores, rolled, written, settled in found[1:]:
        assert scores == pytest.approx(found[0][0], abs=1e-4)
        assert rolled == pytest.approx(found[0][1], abs=1e-4)
        assert written == found[0][2]
        assert settled == found[0][3]


@pytest.mark.parametrize("family", ["gpt2", "qwen3", "gemma", "phi3", "gpt_neox", "olmo2", "mistral", "opt"])
def test_families_agree_with_plain_rows(tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = LocalEngine(make_model(tmp_path / family, family))
    # OPT is not known to take any mask, Mistral slides a window: both go the plain way.
    assert forward.can_share(engine.model) == (family not in ("opt", "mistral"))
    shared = engine.loglikelihoods(questions())
    asked = [GenerateRequest(f"{SHOTS}{text}", max_new_tokens=6) for text in ASKED]
    written = [made.text for made in engine.generate(asked)]
    monkeypatch.setattr(engine, "_sharing", False)
    plain = engine.loglikelihoods(questions())
    for one, other in zip(shared, plain, strict=True):
        assert [s.logprob for s in one] == pytest.approx([s.logprob for s in other], abs=1e-4)
    assert [made.text for made in engine.generate(asked)] == written


# Long texts


@pytest.mark.parametrize("overlap", [True, False])
def test_windows_score_each_token_once(tiny_llama: Path, overlap: bool) -> None:
    engine = LocalEngine(tiny_llama, max_length=16)
    text = "The people of the United States have met to talk about liberty, law, peace and war. " * 2
    (found,) = engine.rolling([text], overlap=overlap)
    ids = [0, *tokenizer()(text)["input_ids"]]
    total = 0.0
    for place in range(1, len(ids)):
        # By the rule: a first window of 16, then steps; the row that scores `place` ends with its step.
        step = 8 if overlap else 16
        end = 16 if place <= 16 else 16 + -(-(place - 16) // step) * step
        begin = max(0, min(end, len(ids) - 1) - 16)
        with torch.no_grad():
            logits = engine.model(torch.tensor([ids[begin:place]])).logits[0, -1]
        total += float(torch.log_softmax(logits.double(), -1)[ids[place]])
    assert found.tokens == len(ids) - 1
    assert found.logprob == pytest.approx(total, abs=1e-3)
    assert (found.bytes, found.characters) == (len(text.encode()), len(text))


@given(st.integers(1, 70), st.integers(2, 20), st.booleans())
def test_windows_cover_everything(count: int, length: int, overlap: bool) -> None:
    ids = list(range(1, count + 1))
    rows = windows(ids, 0, length, overlap=overlap)
    assert [token for _, _, wanted in rows for token in wanted] == ids
    for number, (row, first, wanted) in enumerate(rows):
        assert len(row) <= length
        # What is wanted follows each column, with half the length before it but in the first window.
        assert row[first:] == [token - 1 for token in wanted]
        if number and overlap:
            assert first >= length - length // 2 - 1


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=30), min_size=1, max_size=12))
@settings(max_examples=60)
def test_groups_hold_every_row_once(rows: list[list[int]]) -> None:
    groups = alike(rows)
    assert sorted(n for _, group in groups for n in group) == list(range(len(rows)))
    for shared, group in groups:
        assert len({tuple(rows[n][:shared]) for n in group}) == 1
        assert all(len(rows[n]) > shared for n in group)


def test_documents_know_nothing_of_each_other(tiny_llama: Path) -> None:
    engine = LocalEngine(tiny_llama)
    texts = ["We the people", "Of liberty and law", "Peace"]
    alone = [engine.rolling([text])[0].logprob for text in texts]
    assert [r.logprob for r in engine.rolling(texts)] == pytest.approx(alone, abs=1e-4)


def test_what_is_too_long_is_cut_and_said_or_refused(tiny_llama: Path) -> None:
    long = Request("liberty " * 200, [" and law", " x"], "row/7")
    (row,) = LocalEngine(tiny_llama).loglikelihoods([long])
    assert all(score.truncated for score in row)
    cut = (tokenizer()("liberty " * 199 + "liberty")["input_ids"] + tokenizer()("  x")["input_ids"])[
        -LENGTH - 1 :
    ]
    with torch.no_grad():
        logits = LocalEngine(tiny_llama).model(torch.tensor([cut[:-1]])).logits[0, -row[1].tokens :]
    wanted = torch.log_softmax(logits, -1)[range(row[1].tokens), cut[-row[1].tokens :]].sum()
    assert row[1].logprob == pytest.approx(float(wanted), abs=1e-4)
    with pytest.raises(TooLong, match=r"row/7 has \d+ tokens and the model reads 128 at once"):
        LocalEngine(tiny_llama, truncate=False).loglikelihoods([long])
    with pytest.raises(TooLong, match="row/7"):
        LocalEngine(tiny_llama, truncate=False).generate([GenerateRequest("liberty " * 200, id="row/7")])


# Writing


def test_writing_stops_where_it_is_told(tiny_llama: Path) -> None:
    engine = LocalEngine(tiny_llama)
    (whole,) = engine.generate([GenerateRequest("We the people", max_new_tokens=30)])
    assert whole.tokens == 30
    for stop in (whole.text[3:5], whole.text[10:13]):
        (cut,) = engine.generate([GenerateRequest("We the people", stop=[stop, "never!"], max_new_tokens=30)])
        assert cut.text == whole.text[: whole.text.index(stop)]
        assert cut.tokens < 30


def test_greedy_writing_equals_step_by_step(tiny_llama: Path) -> None:
    engine = LocalEngine(tiny_llama)
    prompts = [f"{SHOTS}{text}" for text in ASKED]
    made = engine.generate([GenerateRequest(prompt, max_new_tokens=8) for prompt in prompts])
    for prompt, answer in zip(prompts, made, strict=True):
        ids = tokenizer()(prompt)["input_ids"]
        start = len(ids)
        for _ in range(8):
            with torch.no_grad():
                ids.append(int(engine.model(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == 1:
                break
        assert answer.text == tokenizer().decode([x for x in ids[start:] if x != 1])


def test_sampling_follows_from_seed_and_sample(tiny_llama: Path) -> None:
    engine = LocalEngine(tiny_llama)

    def ask(seed: int, name: str) -> str:
        (made,) = engine.generate(
            [GenerateRequest("We", temperature=1.0, seed=seed, id=name, max_new_tokens=12)]
        )
        return made.text

    assert ask(1, "a") == ask(1, "a")
    assert len({ask(1, "a"), ask(2, "a"), ask(1, "b")}) == 3


def test_sampled_tokens_are_as_frequent_as_likely(tiny_llama: Path) -> None:
    engine = LocalEngine(tiny_llama, batch_size=64)
    asked = [GenerateRequest("We", temperature=1.0, id=str(n), max_new_tokens=1, top_k=3) for n in range(400)]
    counts: dict[str, int] = {}
    for made in engine.generate(asked):
        counts[made.text] = counts.get(made.text, 0) + 1
    with torch.no_grad():
        top = torch.topk(engine.model(torch.tensor([tokenizer()("We")["input_ids"]])).logits[0, -1], 3)
    for value, token in zip(torch.softmax(top.values, -1).tolist(), top.indices.tolist(), strict=True):
        share = counts.get(tokenizer().decode([token], skip_special_tokens=True), 0) / 400
        assert share == pytest.approx(value, abs=0.1)


# What cannot be answered


def test_empty_choices_are_refused(tiny_llama: Path) -> None:
    with pytest.raises(EmptyContinuation, match="Choice 1 of sample row/3"):
        LocalEngine(tiny_llama).loglikelihoods([Request("We", [" are", ""], "row/3")])


def test_damaged_weights_are_named(tiny_llama: Path, tmp_path: Path) -> None:
    engine = LocalEngine(tiny_llama)
    with torch.no_grad():
        engine.model.get_output_embeddings().weight[7, 0] = float("nan")
    with pytest.raises(NotANumber, match="between the samples a and b"):
        engine.loglikelihoods([Request("We", [" are"], "a"), Request("You", [" are"], "b")])
    with pytest.raises(NotANumber):
        engine.generate([GenerateRequest("We")])


def test_a_model_without_a_tokenizer_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    LocalEngine(tiny_llama).model.save_pretrained(tmp_path)
    with pytest.raises(EngineError, match=r"has no tokenizer that can be read. Put tokenizer.json"):
        LocalEngine(tmp_path)


def test_pickled_weights_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    tokenizer().save_pretrained(tmp_path)
    engine = LocalEngine(tiny_llama)
    engine.model.config.save_pretrained(tmp_path)
    torch.save(engine.model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(EngineError, match="holds no model"):
        LocalEngine(tmp_path)


def test_ties_go_to_the_first_choice(tiny_llama: Path) -> None:
    """Equal choices have equal likelihoods once settled, wherever they stand in a batch."""
    rng = random.Random(1)
    ends = [" no", " because", " no", " for ever"]
    for _ in range(3):
        rng.shuffle(ends)
        settled = LocalEngine(tiny_llama).settle([Request("We", ends)])
        assert settled is not None
        scores = [score.logprob for score in settled[0]]
        assert scores[ends.index(" no")] == scores[len(ends) - 1 - ends[::-1].index(" no")]
