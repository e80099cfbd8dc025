"""Summaries and translations: a text in, a text out, for encoder-decoders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from llmos.lab.data.errors import DataError
from llmos.lab.models.heads import Head, find_head
from llmos.lab.objectives.base import IGNORED, Batch, Row, bare, fitting, loss_figures
from llmos.lab.objectives.language import _own_loss, seq2seq_batch
from llmos.lab.train.losses import projected_cross_entropy


class Pairs:
    """summarize and translate."""

    def __init__(
        self, train: Any, held_out: Any, tokenizer: Any, kind: str, *, length: int, longer: str
    ) -> None:
        self.tokenizer, self._kind, self._length = tokenizer, kind, length
        self.train, self.held_out = (fitting(rows, self._size, length, longer) for rows in (train, held_out))
        self.dropped = len(train) + len(held_out) - len(self.train) - len(self.held_out)
        self._head: Head | None = None
        self._start = 0

    def prepare(self, model: Any) -> None:
        self._head = find_head(bare(model))
        self._start = model.config.decoder_start_token_id

    def sides(self, row: Any) -> tuple[str, str]:
        """Source and target of an example."""
        if self._kind == "summarize":
            return str(row["text"]), str(row["summary"])
        if "translation" in row:
            both = row["translation"]
            if not isinstance(both, dict) or len(both) != 2:
                raise DataError('A translation is a pair as {"en": …, "zh": …}.')
            source, target = both.values()
            return str(source), str(target)
        return str(row["source"]), str(row["target"])

    def example(self, rows: Sequence[Any], number: int, rng: np.random.Generator) -> Row:
        source, target = self.sides(rows[number])
        return {"input_ids": self._ids(source), "labels": self._ids(target)}

    def _ids(self, text: str) -> list[int]:
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return [*ids[: self._length - 1], self.tokenizer.eos_token_id]

    def _size(self, row: Any) -> int:
        """Tokens of the longer side, uncut, with its end."""
        both = self.tokenizer(list(self.sides(row)), add_special_tokens=False)["input_ids"]
        return max(map(len, both)) + 1

    def collate(self, examples: list[Row]) -> Batch:
        return seq2seq_batch(examples, self.tokenizer.pad_token_id, self._start)

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, int]:
        batch = dict(batch)
        targets = batch.pop("labels")
        if self._head is None:
            return _own_loss(model, batch, targets)
        hidden, _ = self._head.body(**batch)
        counted = targets != IGNORED
        rows = self._head.transform(hidden[counted])
        weight = self._head.projection.weight
        return projected_cross_entropy(rows, weight, targets[counted], bias=self._head.bias)

    def evaluate(self, model: Any, batches: Iterator[Batch], *, intervals: bool = False) -> dict[str, float]:
        losses: list[float] = []
        counts: list[int] = []
        for batch in batches:
            loss, n = self.loss(model, batch)
            losses.append(float(loss))
            counts.append(n)
        return loss_figures(losses, counts, intervals=intervals)
