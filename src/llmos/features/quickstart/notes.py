"""What each step of a run came to, in figures, for readers of any language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from llmos.features.evals.models import EvalResult
from llmos.features.quickstart.facts import PARTS, TrainingFacts
from llmos.features.quickstart.models import QuickstartRun
from llmos.features.quickstart.queries import Standing
from llmos.features.quickstart.recipes import recipe_name
from llmos.features.quickstart.talking import score
from llmos.infra.i18n import lazy


def notes_of_training(run: QuickstartRun, facts: TrainingFacts) -> dict[str, list[Any]]:
    """Sentences on text, tokenizer and training, as far as the job has told of them."""
    found: dict[str, list[Any]] = {"text": [], "tokenizer": [], "train": []}
    if facts.has("documents", "megabytes", "held_out"):
        found["text"].append(
            lazy(
                "%(documents)s texts of %(megabytes)s MB to learn from; %(held_out)s are held out.",
                documents=_count(facts, "documents"),
                megabytes=f"{facts.figures['megabytes']:.2f}",
                held_out=_count(facts, "held_out"),
            )
        )
    if facts.has("parameters", "trained_parameters"):
        found["train"].append(
            lazy(
                "LoRA trains %(trained)s of its %(all)s parameters.",
                trained=_count(facts, "trained_parameters"),
                all=_count(facts, "parameters"),
            )
        )
    elif facts.has("parameters", "rows"):
        found["tokenizer"].append(
            lazy(
                "The texts make %(rows)s rows of tokens. The model has %(parameters)s parameters.",
                rows=_count(facts, "rows"),
                parameters=_count(facts, "parameters"),
            )
        )
    found["train"] += _course(run, facts)
    return found


def _course(run: QuickstartRun, facts: TrainingFacts) -> list[Any]:
    """How far the training came, and what of it stayed."""
    found: list[Any] = []
    if facts.has("steps", "tokens", "seconds"):
        values = {
            "recipe": recipe_name(run.path),
            "steps": _count(facts, "steps"),
            "seconds": f"{facts.figures['seconds']:.0f}",
            "tokens": _count(facts, "tokens"),
        }
        if facts.figures["tokens"]:
            text = lazy("Recipe %(recipe)s: %(steps)s steps, %(tokens)s tokens in %(seconds)s s.", **values)
        else:
            text = lazy("Recipe %(recipe)s: %(steps)s steps in %(seconds)s s.", **values)
        found.append(text)
    if facts.has("first_held_out_loss", "held_out_loss"):
        found.append(
            lazy(
                "Loss on the text held out: %(first)s at first, %(last)s now.",
                first=f"{facts.figures['first_held_out_loss']:.2f}",
                last=f"{facts.figures['held_out_loss']:.2f}",
            )
        )
    return found


def _count(facts: TrainingFacts, name: str) -> str:
    return f"{facts.figures[name]:,.0f}"


def notes_of_scores(results: Sequence[EvalResult]) -> list[Any]:
    """The same in every language: names and figures."""
    return [f"{one.dataset_key}: {score(one)}" for one in results]


def notes_of_ranks(standings: Sequence[Standing]) -> list[Any]:
    """The place of the run's model on each board."""
    counts: dict[tuple[int, str], int] = {}
    for one in standings:
        key = (one.dataset_id, one.task_id)
        counts[key] = counts.get(key, 0) + 1
    return [
        lazy(
            "Place %(rank)s of %(count)s on %(board)s.",
            rank=one.rank,
            count=counts[(one.dataset_id, one.task_id)],
            board=one.board,
        )
        for one in standings
        if one.is_own
    ]


def notes_of_change(before: Sequence[EvalResult], after: Sequence[EvalResult]) -> list[Any]:
    """What the fine-tuning changed, on each benchmark that both were asked."""
    known = {(one.dataset_key, one.task_id): one for one in before}
    found = []
    for one in after:
        base = known.get((one.dataset_key, one.task_id))
        if base is not None and base.metric == one.metric:
            found.append(
                lazy(
                    "%(board)s: %(metric)s %(before)s before, %(after)s now.",
                    board=one.dataset_key,
                    metric=one.metric,
                    before=f"{base.value:.3f}",
                    after=f"{one.value:.3f}",
                )
            )
    return found


def notes_of_answers(run: QuickstartRun, name: str, answers: Sequence[Mapping[str, Any]]) -> list[Any]:
    tokens = sum(int(one.get("tokens", 0)) for one in answers)
    seconds = sum(float(one.get("seconds", 0)) for one in answers)
    return [
        lazy(
            "%(model)s answers at /v1: %(tokens)s tokens in %(seconds)s s, its start included.",
            model=name,
            tokens=tokens,
            seconds=f"{seconds:.1f}",
        )
    ]


def seconds_of(run: QuickstartRun, facts: TrainingFacts, shown: Sequence[str]) -> dict[str, float]:
    """How long each step that has ended took."""
    began = {key: datetime.fromisoformat(text) for key, text in run.found.get("began", {}).items()}
    if "train" in began:
        parts = {"text": began.pop("train")}
        for phase, at in facts.began.items():
            part = PARTS.get(phase, "")
            if part and part != "text":
                parts.setdefault(part, at)
        # Of a fine-tuning the tokenizer is not told.
        began |= {key: at for key, at in parts.items() if key in shown}
    if run.finished_at is not None:
        began.setdefault("done", run.finished_at)
    marks = sorted((at, key) for key, at in began.items())
    found = {
        key: round((after - at).total_seconds(), 1)
        for (at, key), (after, _) in pairwise(marks)
        if key in shown
    }
    answers = run.found.get("answers")
    if answers:
        found["serve"] = round(sum(float(one.get("seconds", 0)) for one in answers), 1)
    return found
