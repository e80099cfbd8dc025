"""Fills in what a recipe leaves open, each value with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from llmos.lab.events import Reporter
from llmos.lab.models.presets import LEAST_WORDPIECE, PRESETS, SMALL, TOKENIZER_OF
from llmos.lab.recipes.schema import (
    DECODERS,
    FAMILY_OF,
    PRETRAINING,
    Recipe,
    TrainTokenizer,
)

# Full fine-tuning and LoRA: peak learning rates that the objectives' authors and libraries use.
_TUNING_RATES = {"dpo": 1e-6, "orpo": 5e-6, "kto": 1e-6, "reward": 1e-5}


@dataclass(frozen=True)
class Default:
    """A value nobody wrote down: where it belongs, what it is, and why."""

    field: str
    value: Any
    reason: str


def resolve(recipe: Recipe) -> tuple[Recipe, list[Default]]:
    """The recipe with every open question answered, and all defaults, in the order of the schema.

    The answers depend on the recipe alone: the same recipe gives the same run.
    """
    full = recipe.model_copy(deep=True)
    chosen: dict[str, str] = {}

    def fill(section: BaseModel, name: str, field: str, value: Any, reason: str) -> None:
        if getattr(section, field) is None:
            setattr(section, field, value)
            section.model_fields_set.discard(field)  # nobody wrote it
            chosen[f"{name}.{field}"] = reason

    _fill_model(full, fill)
    _fill_training(full, fill)
    _fill_optimiser(full, fill)
    return full, [
        Default(field, value, chosen.get(field, reason)) for field, value, reason in _unset(recipe, full, "")
    ]


def _fill_model(full: Recipe, fill: Any) -> None:
    new = full.model.base is None
    shape = PRESETS[full.model.preset]
    if not full.name:
        full.name = f"{full.objective}-{full.model.preset if new else 'tuned'}"
    if new:
        fill(full.model, "model", "family", FAMILY_OF[full.objective][0], f"usual for {full.objective}")
        family = full.model.family
        assert family is not None
        if full.tokenizer.from_ is None and full.tokenizer.train is None:
            full.tokenizer.train = TrainTokenizer()
        if train := full.tokenizer.train:
            size = shape.vocab_size
            fill(train, "tokenizer.train", "vocab_size", size, f"preset {full.model.preset}")
            kind, reason = TOKENIZER_OF.get(family, "bpe"), f"what {family} models use"
            if kind == "wordpiece" and (train.vocab_size or size) < LEAST_WORDPIECE:
                kind, reason = "bpe", "few tokens: WordPiece could not spell Chinese with them"
            fill(train, "tokenizer.train", "type", kind, reason)
        pairs, reason = {"bert": "next", "albert": "order"}.get(family, "none"), f"as {family} was trained"
        if full.objective != "mlm" or full.model.preset in SMALL:
            pairs, reason = "none", "a small model has enough to do with words"
        fill(full.denoising, "denoising", "sentence_pairs", pairs, reason)
        share, reason = 0.3 if family == "bart" else 0.15, f"as {family} was trained"
        if full.model.preset in SMALL and family != "bart":
            # Wettig et al. 2023 (masks), Tay et al. 2023 (spans): what is hidden is all that teaches.
            share, reason = 0.5 if family == "t5" else 0.3, "short runs: each hidden token is a lesson"
        fill(full.denoising, "denoising", "mask_share", share, reason)
    else:
        fill(full.denoising, "denoising", "sentence_pairs", "none", "the base has learnt it already")
        fill(full.denoising, "denoising", "mask_share", 0.15, "as BERT and T5")
    if full.lora:
        fill(full.lora, "lora", "alpha", 2.0 * full.lora.rank, "twice the rank")


def _fill_training(full: Recipe, fill: Any) -> None:
    training, data = full.training, full.data
    shape = PRESETS[full.model.preset]
    new = full.model.base is None
    pretraining = full.objective in PRETRAINING
    length = shape.sequence_length if new else 512
    reason = f"preset {full.model.preset}" if new else "fits most bases; never above the base's own"
    fill(training, "training", "sequence_length", length, reason)
    assert training.sequence_length is not None
    tokens = shape.batch_tokens if new else 16 * training.sequence_length
    fill(training, "training", "batch_tokens", tokens, reason if new else "16 rows")
    assert training.batch_tokens is not None
    rows = max(1, training.batch_tokens // training.sequence_length)
    fill(training, "training", "micro_batch", min(rows, 16), "at most 16 rows; halved when memory ends")
    if training.max_steps is None and training.max_minutes is None:
        fill(training, "training", "max_epochs", 3.0, "no limit was given")
    fill(training, "training", "beta", 0.1, "as their authors")
    mode = "stream" if pretraining else "none"
    judges = full.objective == "reward"
    reason = "half an answer is hard to judge" if judges else "the beginning still teaches something"
    fill(data, "data", "longer", "drop" if judges else "cut", reason)
    fill(data, "data", "packing", mode, "no token is padding" if pretraining else "examples stay apart")


def _fill_optimiser(full: Recipe, fill: Any) -> None:
    optimiser = full.optimiser
    new = full.model.base is None
    if new:
        rate, reason = PRESETS[full.model.preset].learning_rate, f"preset {full.model.preset}"
        if full.model.family not in DECODERS:
            rate, reason = rate / 2, f"{reason}, halved: {full.model.family} is less steady"
        if full.objective in _TUNING_RATES:
            rate, reason = rate / 10, f"{reason}, a tenth: preferences are few"
    elif full.lora:
        rate = 1e-5 if full.objective in ("dpo", "kto", "orpo") else 2e-4
        reason = "LoRA bears ten times the rate of full tuning"
    else:
        rate, reason = _TUNING_RATES.get(full.objective, 3e-5), f"full tuning with {full.objective}"
    fill(optimiser, "optimiser", "learning_rate", rate, reason)
    why = "a new model" if new else "tuning should forget little"
    fill(optimiser, "optimiser", "weight_decay", 0.1 if new else 0.01, why)
    fill(optimiser, "optimiser", "beta2", 0.95 if new else 0.999, why)


def _unset(written: BaseModel, full: BaseModel, prefix: str) -> Iterator[tuple[str, Any, str]]:
    for name, field in type(full).model_fields.items():
        label = f"{prefix}{field.alias or name}"
        value = getattr(full, name)
        before = getattr(written, name, None)
        if isinstance(value, BaseModel):
            yield from _unset(before if before is not None else type(value)(), value, f"{label}.")
        elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
            continue
        elif name not in written.model_fields_set:
            extra = field.json_schema_extra
            reason = str(extra.get("reason", "")) if isinstance(extra, dict) else ""
            yield label, value, reason


def describe(defaults: list[Default]) -> str:
    """The defaults as people read them, one a line."""
    width = max((len(item.field) for item in defaults), default=0)
    return "\n".join(f"{d.field:<{width}}  {_plain(d.value):<10}  {d.reason}" for d in defaults)


def say_defaults(recipe: Recipe, reporter: Reporter) -> None:
    """Tell whoever started the run what it leaves open, and what is done about it."""
    reporter.say(f"What the recipe leaves open, and why so:\n{describe(resolve(recipe)[1])}")


def _plain(value: Any) -> str:
    if value is None or value in ([], {}, ""):
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
