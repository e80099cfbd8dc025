"""What forms of tasks send, and what their answers look like."""

from __future__ import annotations

from typing import Any

import pytest

from llmos.core.errors import BadRequest
from llmos.features.playground.asking import render_answer
from llmos.features.playground.schemas import Answer, Talk, Turn
from llmos.features.playground.tasks import examples_of, prompts_of, task_call, view_of


def test_words_found_in_a_text_keep_the_text_whole() -> None:
    text = "Ada met Grace in London."
    rows = [
        {"entity_group": "LOC", "score": 0.9, "word": "London", "start": 17, "end": 23},
        {"entity_group": "PER", "score": 0.8, "word": "Ada", "start": 0, "end": 3},
        {"entity_group": "PER", "score": 0.7, "word": "Grace", "start": 8, "end": 13},
        {"entity_group": "PER", "score": 0.1, "word": "da", "start": 1, "end": 3},
    ]
    view = view_of("token-classification", {"text": text}, rows)
    assert "".join(span.text for span in view.spans) == text
    assert [(span.text, span.label, span.tone) for span in view.spans if span.label] == [
        ("Ada", "PER", 0),
        ("Grace", "PER", 0),
        ("London", "LOC", 1),
    ]


@pytest.mark.parametrize(
    ("task", "values", "result", "label"),
    [
        ("text-classification", {}, [[{"label": "a", "score": 0.2}, {"label": "b", "score": 0.8}]], "b"),
        ("zero-shot-classification", {}, {"labels": ["x", "y"], "scores": [0.6, 0.4], "sequence": ""}, "x"),
        ("fill-mask", {}, [{"token_str": "Paris", "score": 0.5, "sequence": "Paris."}], "Paris"),
        ("sentence-similarity", {"sentences": "one\n\n two "}, [0.25, 0.5], "one"),
        ("question-answering", {"context": "in Hangzhou."},
         {"answer": "Hangzhou", "score": 0.5, "start": 3, "end": 11}, "Hangzhou"),
    ],
)  # fmt: skip
def test_scores_become_bars(task: str, values: dict[str, str], result: Any, label: str) -> None:
    assert view_of(task, values, result).bars[0].label == label


def test_an_unknown_shape_is_shown_as_it_is() -> None:
    for result in ({"a": 1}, [], None, [{"score": "high"}], "text"):
        view = view_of("text-classification", {"text": "x"}, result)
        assert view.kind in ("raw", "bars")
    assert view_of("summarization", {}, [{"summary_text": "Short."}]).text == "Short."
    assert view_of("feature-extraction", {}, {"embeddings": [[1.0, -2.0]]}).vector == [1.0, -2.0]


def test_examples_come_from_the_card() -> None:
    card = {"widget": [{"text": "Hello [MASK]", "example_title": "Greeting"}, {"src": "x.png"}, "no", None]}
    assert examples_of("fill-mask", card, "[MASK]") == [
        {"title": "Greeting", "values": {"text": "Hello [MASK]"}}
    ]
    own = examples_of("fill-mask", {"widget": 3}, "<mask>")
    assert "<mask>" in own[0]["values"]["text"]
    pair = {"widget": [{"source_sentence": "a", "sentences": ["b", "c"]}]}
    assert examples_of("sentence-similarity", pair, "")[0]["values"] == {"source": "a", "sentences": "b\nc"}
    chat = {
        "widget": [{"messages": [{"role": "user", "content": "Hi"}]}, {"text": "Once", "example_title": "T"}]
    }
    assert prompts_of(chat) == [{"title": "Hi", "text": "Hi"}, {"title": "T", "text": "Once"}]


def test_what_is_filled_in_becomes_a_call() -> None:
    call = task_call("zero-shot-classification", {"text": "x", "labels": "a，b, ,c"}, "")
    assert call["parameters"] == {"candidate_labels": ["a", "b", "c"]}
    for task, values in (
        ("fill-mask", {"text": "no gap"}),
        ("question-answering", {"question": "q", "context": " "}),
    ):
        with pytest.raises(BadRequest):
            task_call(task, values, "[MASK]")


def test_roles_take_turns_even_after_an_answer_failed() -> None:
    turns = [Turn(text="a", answers=[None]), Turn(text="b", answers=[Answer(text="c")]), Turn(text="d")]
    talk = Talk(models=["x/y"], system="s", turns=turns)
    assert [(one["role"], one["content"]) for one in talk.messages(0)] == [
        ("system", "s"),
        ("user", "b"),
        ("assistant", "c"),
        ("user", "d"),
    ]


def test_answers_show_no_pictures() -> None:
    shown = render_answer(
        '![x](https://evil.example/?q=1 "a > b")\n\n<img src=//evil.example/2>\n\n**so**'
    ).html
    assert "evil.example" not in shown
    assert "<strong>so</strong>" in shown
