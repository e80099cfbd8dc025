"""Tasks that have a form on the page of a model: what it asks for, and what its answer looks like."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmos.core.errors import BadRequest
from llmos.infra.i18n import lazy

MAX_INPUT_CHARS = 20_000
MAX_EXAMPLES = 6
MAX_ROWS = 10
MAX_SENTENCES = 20
TONES = 6


@dataclass(frozen=True, slots=True)
class Ask:
    """One field of a form. `kind` is line, text, or lines (one value a line)."""

    name: str
    label: str
    kind: str = "text"
    hint: str = ""


_TEXT = Ask("text", lazy("Text"))
_FORMS: dict[str, tuple[Ask, ...]] = {
    "fill-mask": (Ask("text", lazy("Text with a gap")),),
    "text-classification": (_TEXT,),
    "token-classification": (_TEXT,),
    "question-answering": (Ask("question", lazy("Question"), "line"), Ask("context", lazy("Context"))),
    "summarization": (_TEXT,),
    "translation": (_TEXT,),
    "text2text-generation": (_TEXT,),
    "zero-shot-classification": (
        _TEXT,
        Ask("labels", lazy("Possible labels"), "line", lazy("Divided by commas.")),
    ),
    "sentence-similarity": (
        Ask("source", lazy("Sentence"), "line"),
        Ask("sentences", lazy("Compare it with"), "lines", lazy("One sentence a line.")),
    ),
    "feature-extraction": (_TEXT,),
}
# What is in the form at first where the card gives no example.
_SAMPLES: dict[str, dict[str, str]] = {
    "fill-mask": {"text": "The capital of France is {mask}."},
    "text-classification": {"text": "I like this more with every day that I use it."},
    "token-classification": {"text": "Ada Lovelace wrote to Charles Babbage from London."},
    "question-answering": {
        "question": "Where does Grace work?",
        "context": "Grace trains language models. She works in a small laboratory in Hangzhou.",
    },
    "summarization": {
        "text": "The tower is 324 metres tall, about as tall as a building of 81 storeys. "
        "It was the first structure of the world to reach a height of 300 metres."
    },
    "translation": {"text": "A model is not a file: it is something to talk to."},
    "text2text-generation": {"text": "Say it in other words: the weather is fine today."},
    "zero-shot-classification": {
        "text": "The new chip trains models twice as fast.",
        "labels": "technology, sport, cooking",
    },
    "sentence-similarity": {
        "source": "A cat sleeps on the sofa.",
        "sentences": "An animal is resting.\nThe stock market fell.\nSomebody took a nap.",
    },
    "feature-extraction": {"text": "A model is not a file: it is something to talk to."},
}
# Names of fields in the `widget:` of a card.
_CARD_NAMES = {
    "text": ("text",),
    "question": ("text", "question"),
    "context": ("context",),
    "labels": ("candidate_labels", "labels"),
    "source": ("source_sentence",),
    "sentences": ("sentences",),
}


def has_form(task: str | None) -> bool:
    """Whether a task has a form of this kind; generating text has a page of its own."""
    return task in _FORMS


def form_of(task: str) -> tuple[Ask, ...]:
    return _FORMS[task]


def examples_of(task: str, card: Mapping[str, Any], mask_token: str) -> list[dict[str, Any]]:
    """Values for the form: those of the card's `widget:`, else one of ours. Each has a `title`."""
    found = []
    given = card.get("widget")
    for item in given if isinstance(given, list) else []:
        values = _from_card(task, item)
        if values:
            found.append(_titled(item, values))
    if not found:
        sample = {name: text.replace("{mask}", mask_token) for name, text in _SAMPLES[task].items()}
        found.append({"title": "", "values": sample})
    return found[:MAX_EXAMPLES]


def _titled(item: Mapping[str, Any], values: dict[str, str]) -> dict[str, Any]:
    title = item.get("example_title")
    text = title if isinstance(title, str) and title.strip() else next(iter(values.values()))
    return {"title": " ".join(text.split())[:60], "values": values}


def _from_card(task: str, item: object) -> dict[str, str]:
    """The fields of a form from one example; empty where one is missing."""
    if not isinstance(item, Mapping):
        return {}
    found = {}
    for asked in _FORMS[task]:
        value = next((item[name] for name in _CARD_NAMES[asked.name] if name in item), None)
        if isinstance(value, list):
            value = ("\n" if asked.kind == "lines" else ", ").join(str(one) for one in value)
        if not isinstance(value, str) or not value.strip():
            return {}
        found[asked.name] = value[:MAX_INPUT_CHARS]
    return found


def prompts_of(card: Mapping[str, Any]) -> list[dict[str, str]]:
    """Beginnings for a model that writes, from the `widget:` of its card: `title` and `text`."""
    found = []
    given = card.get("widget")
    for item in given if isinstance(given, list) else []:
        text = _prompt(item)
        if text:
            title = item.get("example_title")
            found.append({"title": str(title or text)[:80], "text": text[:MAX_INPUT_CHARS]})
    return found[:MAX_EXAMPLES]


def _prompt(item: object) -> str:
    if not isinstance(item, Mapping):
        return ""
    if isinstance(item.get("text"), str):
        return str(item["text"])
    messages = item.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    return str(last.get("content") or "") if isinstance(last, Mapping) else ""


def task_call(task: str, values: Mapping[str, str], mask_token: str) -> dict[str, Any]:
    """The call for what was filled in. BadRequest names the field that is empty or too long."""
    for asked in _FORMS[task]:
        text = values.get(asked.name, "")
        if not text.strip():
            raise BadRequest(lazy("%(field)s is empty: fill it in.", field=asked.label))
        if len(text) > MAX_INPUT_CHARS:
            raise BadRequest(
                lazy(
                    "%(field)s is too long: at most %(limit)s characters.",
                    field=asked.label,
                    limit=MAX_INPUT_CHARS,
                )
            )
    if task == "feature-extraction":
        return {"call": "embed", "inputs": [values["text"]], "truncate": True}
    inputs, parameters = _inputs(task, values, mask_token)
    return {"call": "task", "task": task, "inputs": inputs, "parameters": parameters}


def _inputs(task: str, values: Mapping[str, str], mask_token: str) -> tuple[Any, dict[str, Any]]:
    if task == "question-answering":
        return {"question": values["question"], "context": values["context"]}, {}
    if task == "sentence-similarity":
        return {"source_sentence": values["source"], "sentences": sentences_of(values)}, {}
    text = values["text"]
    if task == "zero-shot-classification":
        labels = [label.strip() for label in values["labels"].replace("，", ",").split(",")]
        return text, {"candidate_labels": [label for label in labels if label][:MAX_ROWS]}
    if task == "fill-mask" and mask_token and mask_token not in text:
        raise BadRequest(lazy("Put %(mask)s where the word is missing.", mask=mask_token))
    if task == "token-classification":
        return text, {"aggregation_strategy": "simple"}
    return text, {}


def sentences_of(values: Mapping[str, str]) -> list[str]:
    lines = [line.strip() for line in values.get("sentences", "").splitlines()]
    return [line for line in lines if line][:MAX_SENTENCES]


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    value: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the text; `tone` is None where nothing was found in it."""

    text: str
    label: str = ""
    value: float = 0.0
    tone: int | None = None


@dataclass(frozen=True, slots=True)
class View:
    """An answer for the page. `kind` is bars, spans, text, vector or raw."""

    kind: str
    text: str = ""
    bars: list[Bar] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    vector: list[float] = field(default_factory=list)


def view_of(task: str, values: Mapping[str, str], result: Any) -> View:
    """What the page shows of a result; one of another shape than expected is shown as it is."""
    try:
        return _view(task, values, result)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return View("raw", text=_raw(result))


def _raw(result: Any) -> str:
    import json

    return json.dumps(result, ensure_ascii=False, indent=2)[:MAX_INPUT_CHARS]


def _view(task: str, values: Mapping[str, str], result: Any) -> View:
    if task == "feature-extraction":
        return View("vector", vector=_flat(result["embeddings"] if isinstance(result, dict) else result))
    if task == "sentence-similarity":
        pairs = zip(sentences_of(values), result, strict=True)
        return View("bars", bars=[Bar(text, float(value)) for text, value in pairs])
    if task == "question-answering":
        best = result[0] if isinstance(result, list) else result
        return _marked_answer(values["context"], best)
    if task == "token-classification":
        return View("spans", spans=_entities(values["text"], result))
    if task in ("summarization", "translation", "text2text-generation"):
        best = result[0] if isinstance(result, list) else result
        return View("text", text=str(next(best[k] for k in best if k.endswith("_text"))))
    return View("bars", bars=_scores(result))


def _flat(value: Any) -> list[float]:
    while value and isinstance(value[0], list):
        value = value[0]
    return [float(number) for number in value]


def _scores(result: Any) -> list[Bar]:
    if isinstance(result, dict):
        return [Bar(str(a), float(b)) for a, b in zip(result["labels"], result["scores"], strict=True)]
    rows = result[0] if result and isinstance(result[0], list) else result
    bars = [
        Bar(str(row.get("token_str") or row.get("label")), float(row["score"]), row.get("sequence") or "")
        for row in rows
    ]
    return sorted(bars, key=lambda bar: -bar.value)[:MAX_ROWS]


def _marked_answer(context: str, best: Mapping[str, Any]) -> View:
    start, end, score = int(best["start"]), int(best["end"]), float(best["score"])
    spans = [
        Span(context[:start]),
        Span(context[start:end], str(best["answer"]), score, 0),
        Span(context[end:]),
    ]
    shown = [span for span in spans if span.text]
    return View("spans", text=str(best["answer"]), spans=shown, bars=[Bar(str(best["answer"]), score)])


def _entities(text: str, rows: Sequence[Mapping[str, Any]]) -> list[Span]:
    spans, at = [], 0
    tones: dict[str, int] = {}
    for row in sorted(rows, key=lambda item: int(item["start"])):
        start, end = int(row["start"]), int(row["end"])
        if start < at:
            continue
        label = str(row.get("entity_group") or row.get("entity"))
        tone = tones.setdefault(label, len(tones) % TONES)
        if start > at:
            spans.append(Span(text[at:start]))
        spans.append(Span(text[start:end], label, float(row["score"]), tone))
        at = end
    if at < len(text):
        spans.append(Span(text[at:]))
    return spans


def length_of(vector: Sequence[float]) -> float:
    """The Euclidean length of a vector."""
    return math.sqrt(sum(number * number for number in vector))
