"""Training a causal language model, with nothing hidden: read this one first.

The same rows, loss, optimiser and schedule as the trainer, written out: no micro-batches, no fused
loss, no checkpoints. The tests hold the trainer against this loop, and `make bench` measures both.

Shapes: B rows, T tokens of a row, V words of the vocabulary.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llmos.lab.objectives.base import Rows
from llmos.lab.objectives.language import NextToken


@dataclass
class Settings:
    """What a run needs to know. Rates are per step, `warmup` and `floor` shares as in a recipe."""

    steps: int
    rows_per_step: int
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0
    warmup: float = 0.03
    floor: float = 0.1
    seed: int = 17


def rate(settings: Settings, step: int) -> float:
    """Up in a straight line, then down along a cosine to the floor; `step` counts from 1."""
    done = min(1.0, step / settings.steps)
    if done < settings.warmup:
        return settings.learning_rate * done / settings.warmup
    course = (done - settings.warmup) / max(1e-9, 1.0 - settings.warmup)
    height = settings.floor + (1.0 - settings.floor) * 0.5 * (1.0 + math.cos(math.pi * course))
    return settings.learning_rate * height


def next_token_loss(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """The mean cross-entropy of every token given those before it in its document, in nats."""
    inputs = {name: batch[name] for name in ("input_ids", "position_ids") if name in batch}
    # A cache would hide from the model where documents begin.
    logits = model(**inputs, use_cache=False).logits  # B, T, V
    guessed = logits[:, :-1].float()  # what stands at t is guessed from t-1 …
    wanted = batch["labels"][:, 1:]  # … so the first token is never asked for
    return torch.nn.functional.cross_entropy(
        guessed.reshape(-1, guessed.shape[-1]), wanted.reshape(-1), ignore_index=-100
    )


def train(
    model: Any,
    objective: NextToken,
    settings: Settings,
    *,
    after_step: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train `model` in place; the loss of each step. `after_step(step, seconds)` may watch."""
    rows = Rows(objective, settings.steps * settings.rows_per_step, settings.seed)
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": settings.weight_decay},
            # Scales and biases are few and small: pulling them to zero only harms.
            {"params": vectors, "weight_decay": 0.0},
        ],
        betas=(settings.beta1, settings.beta2),
        eps=1e-8,
    )
    model.train()
    losses: list[float] = []
    for step in range(1, settings.steps + 1):
        start = time.perf_counter()
        first = (step - 1) * settings.rows_per_step
        batch = objective.collate([rows[first + n] for n in range(settings.rows_per_step)])
        for group in optimizer.param_groups:
            group["lr"] = rate(settings, step)
        loss = next_token_loss(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if after_step:
            after_step(step, time.perf_counter() - start)
    return losses
