"""Pre-training: the next token, hidden tokens, or hidden spans, on packed rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llmos.lab.metrics.intervals import named_ratio
from llmos.lab.models.heads import Head, find_head
from llmos.lab.models.positions import first_position
from llmos.lab.objectives.base import IGNORED, Batch, Row, bare, loss_figures, pad, stack
from llmos.lab.objectives.corrupt import hide_spans, hide_tokens, pair_segments
from llmos.lab.recipes.schema import Denoising
from llmos.lab.train.losses import projected_cross_entropy


class _Language:
    """What the three have in common: a loss over a vocabulary."""

    def __init__(self, train: Sequence[Any], held_out: Sequence[Any], tokenizer: Any) -> None:
        self.train, self.held_out, self.tokenizer = train, held_out, tokenizer
        self.dropped: int = sum(getattr(rows, "dropped", 0) for rows in (train, held_out))
        self._head: Head | None = None

    def prepare(self, model: Any) -> None:
        self._head = find_head(bare(model))

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, int]:
        batch = dict(batch)
        pair = batch.pop("pair", None)
        targets = self._targets(batch)
        if self._head is None:
            return _own_loss(model, batch, targets)
        hidden, relation = self._head.body(**batch)
        counted = targets != IGNORED
        rows = hidden[counted]
        total, n = projected_cross_entropy(
            self._head.transform(rows), self._head.projection.weight, targets[counted], bias=self._head.bias
        )
        if pair is not None and relation is not None:
            # The second objective weighs as much as the first does in a mean over both.
            extra = torch.nn.functional.cross_entropy(relation.float(), pair)
            total = total + extra * n
        return total, n

    def _targets(self, batch: Batch) -> Tensor:
        return batch.pop("labels")

    def evaluate(self, model: Any, batches: Iterator[Batch], *, intervals: bool = False) -> dict[str, float]:
        losses: list[float] = []
        counts: list[int] = []
        for batch in batches:
            batch.pop("pair", None)
            loss, n = self.loss(model, batch)
            losses.append(float(loss))
            counts.append(n)
        return loss_figures(losses, counts, intervals=intervals)


def _own_loss(model: Any, batch: Batch, targets: Tensor) -> tuple[Tensor, int]:
    """The loss of a model whose head is not known: all logits at once."""
    logits = model(**batch).logits
    n = int((targets != IGNORED).sum())
    flat = logits.float().reshape(-1, logits.shape[-1])
    return torch.nn.functional.cross_entropy(flat, targets.reshape(-1), reduction="sum"), n


class NextToken(_Language):
    """clm. `token_bytes[id]` is how many bytes of text a token stands for, for bits per byte."""

    def __init__(
        self, train: Sequence[Any], held_out: Sequence[Any], tokenizer: Any, token_bytes: Any
    ) -> None:
        super().__init__(train, held_out, tokenizer)
        self._token_bytes = torch.as_tensor(token_bytes)

    def example(self, rows: Sequence[Any], number: int, rng: np.random.Generator) -> Row:
        return dict(rows[number])

    def collate(self, examples: list[Row]) -> Batch:
        batch = {"input_ids": stack(examples, "input_ids"), "labels": stack(examples, "labels")}
        # Without restarts in it, attention takes the fast causal path and needs no mask.
        if any(int(row["document_ids"].max()) > 0 for row in examples):
            batch["position_ids"] = stack(examples, "position_ids")
        return batch

    def _targets(self, batch: Batch) -> Tensor:
        labels = batch.pop("labels")
        return torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED)

    def evaluate(self, model: Any, batches: Iterator[Batch], *, intervals: bool = False) -> dict[str, float]:
        losses: list[float] = []
        counts: list[int] = []
        sizes_bytes: list[int] = []
        for batch in batches:
            labels = batch["labels"][:, 1:]
            told = labels[labels != IGNORED].cpu()
            sizes_bytes.append(int(self._token_bytes[told].sum()))
            loss, n = self.loss(model, batch)
            losses.append(float(loss))
            counts.append(n)
        figures = loss_figures(losses, counts, intervals=intervals)
        if not sum(sizes_bytes):
            return figures
        bits = [loss / math.log(2) for loss in losses]
        if intervals:
            return figures | named_ratio("bits_per_byte", bits, sizes_bytes)
        return figures | {"bits_per_byte": sum(bits) / sum(sizes_bytes)}


class HiddenTokens(_Language):
    """mlm, with next-sentence or sentence-order pairs where the recipe asks for them."""

    def __init__(
        self, train: Sequence[Any], held_out: Sequence[Any], tokenizer: Any, denoising: Denoising
    ) -> None:
        super().__init__(train, held_out, tokenizer)
        self._denoising = denoising
        self._offset = 0

    def prepare(self, model: Any) -> None:
        super().prepare(model)
        self._offset = first_position(model)

    def example(self, rows: Sequence[Any], number: int, rng: np.random.Generator) -> Row:
        assert self._denoising.mask_share is not None
        row = dict(rows[number])
        if self._denoising.sentence_pairs not in (None, "none"):
            other = rows[int(rng.integers(len(rows)))]
            row = pair_segments(row, other, self.tokenizer, self._denoising.sentence_pairs, rng)
        ids, labels = hide_tokens(
            row["input_ids"], row["document_ids"] >= 0, self.tokenizer, self._denoising.mask_share, rng
        )
        return row | {"input_ids": ids, "labels": labels}

    def collate(self, examples: list[Row]) -> Batch:
        batch = {"input_ids": stack(examples, "input_ids"), "labels": stack(examples, "labels")}
        documents = stack(examples, "document_ids")
        batch["position_ids"] = stack(examples, "position_ids") + self._offset
        if bool((documents != documents[:, :1]).any()):
            batch["attention_mask"] = documents[:, None, :, None] == documents[:, None, None, :]
        if "pair" in examples[0]:
            batch["pair"] = torch.tensor([row["pair"] for row in examples])
            batch["token_type_ids"] = stack(examples, "token_type_ids")
        return batch


class HiddenSpans(_Language):
    """seq2seq: T5's span corruption or BART's text infilling, by the model's family."""

    def __init__(
        self,
        train: Sequence[Any],
        held_out: Sequence[Any],
        tokenizer: Any,
        denoising: Denoising,
        *,
        infill: bool,
    ) -> None:
        super().__init__(train, held_out, tokenizer)
        self._denoising, self._infill = denoising, infill
        self._start = 0

    def prepare(self, model: Any) -> None:
        super().prepare(model)
        self._start = model.config.decoder_start_token_id

    def example(self, rows: Sequence[Any], number: int, rng: np.random.Generator) -> Row:
        row = rows[number]
        ids = np.asarray(row["input_ids"])[np.asarray(row["document_ids"]) >= 0]
        source, target = hide_spans(ids, self.tokenizer, self._denoising, rng, infill=self._infill)
        return {"input_ids": source, "labels": target}

    def collate(self, examples: list[Row]) -> Batch:
        return seq2seq_batch(examples, self.tokenizer.pad_token_id, self._start)


def seq2seq_batch(examples: list[Row], pad_id: int, start_id: int) -> Batch:
    """Sources, targets, and what the decoder reads: the targets moved on by one."""
    for row in examples:
        row["attention"] = np.ones(len(row["input_ids"]), np.int64)
        row["decoder"] = np.concatenate([[start_id], row["labels"][:-1]])
    return {
        "input_ids": pad(examples, "input_ids", pad_id),
        "attention_mask": pad(examples, "attention", 0),
        "decoder_input_ids": pad(examples, "decoder", pad_id),
        "labels": pad(examples, "labels", IGNORED),
    }


def unigram_loss(train: Any, rows: Iterator[Batch], special: Sequence[int]) -> float:
    """What a model that knows only how frequent each token of text is would lose a target, in nats.

    `train` is a token cache, `rows` are held-out batches of an objective: what is guessed there counts.
    Of special tokens (ends of texts, numbers of hidden spans) it knows how often one stands there, and is
    told which. Counts are smoothed by one.
    """
    counts = np.bincount(np.asarray(train.tokens), minlength=int(train.facts["vocab_size"])) + 1.0
    counts[list(special)] = 0.0
    is_text = counts > 0
    costs = np.zeros_like(counts)
    costs[is_text] = -np.log(counts[is_text] / counts.sum())
    total, of_text, of_special = 0.0, 0, 0
    for batch in rows:
        targets = batch["labels"].numpy()
        targets = targets[targets != IGNORED]
        total += float(costs[targets].sum())
        of_text += int(is_text[targets].sum())
        of_special += int((~is_text[targets]).sum())
    asked = of_text + of_special
    total -= sum(n * math.log(n / asked) for n in (of_text, of_special) if n)
    return total / max(asked, 1)


def token_byte_lengths(tokenizer: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Bytes of text each token stands for; 0 for special tokens."""
    size = len(tokenizer)
    out = np.zeros(size, np.int64)
    special = set(tokenizer.all_special_ids)
    byte_level = "ByteLevel" in tokenizer.backend_tokenizer.to_str()
    for token, number in tokenizer.get_vocab().items():
        if number in special or number >= size:
            continue
        if byte_level:
            # Byte-level vocabularies write each byte as one character.
            out[number] = len(token)
        else:
            out[number] = len(token.removeprefix("##").replace("\u2581", " ").encode())
    return out
