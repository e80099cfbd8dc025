"""The surface every objective has, and the rows they share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from llmos.lab.data.order import EpochOrder
from llmos.lab.data.packing import check_longer
from llmos.lab.metrics.intervals import named_ratio

Batch = dict[str, Tensor]
Row = dict[str, Any]
IGNORED = -100


class Objective(Protocol):
    """Rows in, loss out. `train` and `held_out` can be indexed; rows may depend on `rng`.

    `dropped` examples of both were left out, being too long.
    """

    train: Sequence[Any]
    held_out: Sequence[Any]
    dropped: int

    def example(self, rows: Sequence[Any], number: int, rng: np.random.Generator) -> Row: ...

    def collate(self, examples: list[Row]) -> Batch: ...

    def prepare(self, model: Any) -> None:
        """Called once, before training: the place to find the model's head."""

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, int]:
        """The summed loss and how many tokens (or examples) it is the sum over."""

    def evaluate(self, model: Any, batches: Iterator[Batch], *, intervals: bool = False) -> dict[str, float]:
        """Figures of the held-out part; with `name_low` and `name_high` when each batch is one example."""


@dataclass
class Rows:
    """The rows of a whole run: `length` of them, epoch after epoch, each epoch in an order of its own.

    Row n is the same in every run with this seed, wherever the run was stopped: its place in the order
    and what is drawn at random for it come from (seed, n) alone.
    """

    objective: Objective
    length: int
    seed: int

    def __post_init__(self) -> None:
        self._order = EpochOrder(len(self.objective.train), seed=self.seed)
        self._epoch, self._indices = -1, np.zeros(0, np.int64)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Row:
        epoch, place = divmod(number, len(self.objective.train))
        if epoch != self._epoch:
            self._epoch, self._indices = epoch, self._order.indices(epoch)
        rng = np.random.Generator(np.random.PCG64([self.seed, number, 1]))
        return self.objective.example(self.objective.train, int(self._indices[place]), rng)


def fitting(rows: Sequence[Any], size: Callable[[Any], int], room: int, longer: str) -> Sequence[Any]:
    """The rows that are learnt from, where `size` counts the tokens of one and `room` is all it may have.

    Raises DataError as `check_longer` does. Nothing is counted where long ones are cut.
    """
    if longer == "cut":
        return rows
    sizes = [size(row) for row in rows]
    check_longer(sizes, room, longer)
    return [row for row, tokens in zip(rows, sizes, strict=True) if tokens <= room]


def held_out_numbers(count: int, limit: int) -> list[int]:
    """Which of `count` held-out rows are looked at, where that is at most `limit`: evenly spread.

    Data often lie sorted, by source or by label, and the first rows would be of one kind.
    """
    chosen = min(limit, count)
    return [n * count // chosen for n in range(chosen)]


def held_out_batches(objective: Objective, size: int, limit: int, seed: int) -> Iterator[Batch]:
    """At most `limit` held-out rows in batches, drawn the same way every time."""
    numbers = held_out_numbers(len(objective.held_out), limit)
    for start in range(0, len(numbers), size):
        rows = [
            objective.example(objective.held_out, k, np.random.Generator(np.random.PCG64([seed, k, 2])))
            for k in numbers[start : start + size]
        ]
        yield objective.collate(rows)


def loss_figures(losses: list[float], counts: list[int], *, intervals: bool) -> dict[str, float]:
    """Mean loss and perplexity, from the summed losses and the tokens of each batch."""
    mean = named_ratio("loss", losses, counts) if intervals and sum(counts) > 0 else {}
    mean = mean or {"loss": sum(losses) / max(sum(counts), 1)}
    # The exponential keeps the order, so that it takes the ends of the interval with it.
    return mean | {n.replace("loss", "perplexity"): math.exp(min(x, 50.0)) for n, x in mean.items()}


def bare(model: Any) -> Any:
    """The model under adapters, whose layers carry them."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def stack(examples: list[Row], name: str) -> Tensor:
    return torch.from_numpy(np.stack([np.asarray(row[name]) for row in examples]))


def pad(examples: list[Row], name: str, value: int, *, multiple: int = 8) -> Tensor:
    """Rows of different lengths side by side; a width of a multiple of 8 suits the kernels."""
    width = max(len(row[name]) for row in examples)
    width = -(-width // multiple) * multiple
    out = np.full((len(examples), width), value, np.int64)
    for n, row in enumerate(examples):
        out[n, : len(row[name])] = row[name]
    return torch.from_numpy(out)
