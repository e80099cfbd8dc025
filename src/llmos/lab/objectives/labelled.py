"""Classification of texts and of words, and answers found in a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llmos.lab.data.errors import DataError
from llmos.lab.metrics.intervals import FEWEST, named_ratio
from llmos.lab.metrics.labels import macro_f1
from llmos.lab.objectives.base import IGNORED, Batch, Row, fitting, pad


class _Padded:
    """Examples are encoded when they are needed and padded side by side."""

    def __init__(
        self, train: list[Any], held_out: list[Any], tokenizer: Any, *, length: int, longer: str
    ) -> None:
        self.tokenizer, self._length = tokenizer, length
        self.train, self.held_out = (fitting(rows, self._size, length, longer) for rows in (train, held_out))
        self.dropped = len(train) + len(held_out) - len(self.train) - len(self.held_out)

    def _size(self, row: Any) -> int:
        """Tokens of an example, uncut."""
        raise NotImplementedError

    def prepare(self, model: Any) -> None:
        """Nothing: these models compute their own loss."""

    def _encode(self, *texts: Any, **options: Any) -> Any:
        return self.tokenizer(*texts, truncation=True, max_length=self._length, **options)

    def _inputs(self, examples: list[Row]) -> Batch:
        for row in examples:
            row["attention"] = np.ones(len(row["input_ids"]), np.int64)
        batch = {
            "input_ids": pad(examples, "input_ids", self.tokenizer.pad_token_id or 0),
            "attention_mask": pad(examples, "attention", 0),
        }
        if examples[0].get("token_type_ids") is not None:
            batch["token_type_ids"] = pad(examples, "token_type_ids", 0)
        return batch

    def _row(self, encoded: Any, **more: Any) -> Row:
        row = {"input_ids": encoded["input_ids"], **more}
        if "token_type_ids" in encoded:
            row["token_type_ids"] = encoded["token_type_ids"]
        return row


class Classes(_Padded):
    """classify: one label for a text, or for a pair of texts."""

    def __init__(self, train: Any, held_out: Any, tokenizer: Any, labels: list[str], **options: Any) -> None:
        super().__init__(train, held_out, tokenizer, **options)
        self.labels = labels
        self._number = {label: n for n, label in enumerate(labels)}

    def example(self, rows: Sequence[Any], number: int, rng: np.random.Generator) -> Row:
        row = rows[number]
        return self._row(self._encode(*_texts(row)), label=_number(self._number, row["label"]))

    def _size(self, row: Any) -> int:
        return len(self.tokenizer(*_texts(row))["input_ids"])

    def collate(self, examples: list[Row]) -> Batch:
        return self._inputs(examples) | {"labels": torch.tensor([row["label"] for row in examples])}

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, int]:
        batch = dict(batch)
        labels = batch.pop("labels")
        logits = model(**batch).logits.float()
        return torch.nn.functional.cross_entropy(logits, labels, reduction="sum"), len(labels)

    def evaluate(self, model: Any, batches: Iterator[Batch], *, intervals: bool = False) -> dict[str, float]:
        wanted: list[int] = []
        found: list[int] = []
        losses: list[float] = []
        for batch in batches:
            labels = batch.pop("labels")
            logits = model(**batch).logits.float()
            losses += torch.nn.functional.cross_entropy(logits, labels, reduction="none").tolist()
            wanted += labels.tolist()
            found += logits.argmax(-1).tolist()
        common = Counter(self._number.get(str(r["label"]), -1) for r in self.train).most_common(1)[0][0]
        ones = [1.0] * len(wanted)
        spread = intervals and len(wanted) >= FEWEST
        right = [float(w == f) for w, f in zip(wanted, found, strict=True)]
        return {
            **_mean("loss", losses, ones, spread),
            **_mean("accuracy", right, ones, spread),
            **(macro_f1(wanted, found).named("f1") if spread else {"f1": _f1(wanted, found)}),
            "majority_accuracy": sum(w == common for w in wanted) / max(len(wanted), 1),
        }


class Tags(_Padded):
    """tag: one label for each word; only the first token of a word is asked."""

    def __init__(self, train: Any, held_out: Any, tokenizer: Any, labels: list[str], **options: Any) -> None:
        super().__init__(train, held_out, tokenizer, **options)
        self.labels = labels
        self._number = {label: n for n, label in enumerate(labels)}

    def example(self, rows: Sequence[Any], number: int, rng: np.random.Generator) -> Row:
        row = rows[number]
        words, tags = list(map(str, row["tokens"])), row["tags"]
        if len(words) != len(tags):
            raise DataError(f"An example has {len(words)} tokens and {len(tags)} tags; they go in pairs.")
        ids: list[int] = []
        labels: list[int] = []
        for pieces, tag in zip(self._pieces(words), tags, strict=True):
            ids += pieces
            labels += [_number(self._number, tag), *[IGNORED] * (len(pieces) - 1)]
        first, last = self._ends()
        room = self._length - len(first) - len(last)
        ids, labels = ids[:room], labels[:room]
        blank = [IGNORED]
        return {
            "input_ids": first + ids + last,
            "labels": blank * len(first) + labels + blank * len(last),
        }

    def _pieces(self, words: list[str]) -> list[list[int]]:
        starts = [f" {word}" if n else word for n, word in enumerate(words)]
        found = self.tokenizer(starts, add_special_tokens=False)["input_ids"]
        return [ids or [self.tokenizer.unk_token_id or 0] for ids in found]

    def _ends(self) -> tuple[list[int], list[int]]:
        marks = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        first, last = ([] if mark is None else [mark] for mark in marks)
        return first, last

    def _size(self, row: Any) -> int:
        words = self._pieces(list(map(str, row["tokens"])))
        return sum(map(len, words)) + sum(map(len, self._ends()))

    def collate(self, examples: list[Row]) -> Batch:
        return self._inputs(examples) | {"labels": pad(examples, "labels", IGNORED)}

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, int]:
        batch = dict(batch)
        labels = batch.pop("labels")
        logits = model(**batch).logits.float()
        total = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return total, int((labels != IGNORED).sum())

    def evaluate(self, model: Any, batches: Iterator[Batch], *, intervals: bool = False) -> dict[str, float]:
        wanted: list[int] = []
        found: list[int] = []
        texts: list[int] = []
        losses: list[float] = []
        for batch in batches:
            labels = batch.pop("labels")
            logits = model(**batch).logits.float()
            for asked, answered in zip(labels, logits, strict=True):
                counted = asked != IGNORED
                entropy = torch.nn.functional.cross_entropy(
                    answered[counted], asked[counted], reduction="sum"
                )
                texts += [len(losses)] * int(counted.sum())
                losses.append(float(entropy))
                wanted += asked[counted].tolist()
                found += answered[counted].argmax(-1).tolist()
        right = [float(w == f) for w, f in zip(wanted, found, strict=True)]
        words, hits = (np.bincount(texts, weights=w, minlength=len(losses)).tolist() for w in (None, right))
        spread = intervals and len(losses) >= FEWEST
        f1 = macro_f1(wanted, found, groups=texts).named("f1") if spread else {"f1": _f1(wanted, found)}
        common = Counter(wanted).most_common(1)[0][1] if wanted else 0
        return {
            **_mean("loss", losses, words, spread),
            **_mean("accuracy", hits, words, spread),
            **f1,
            "majority_accuracy": common / max(len(wanted), 1),
        }


class Answers(_Padded):
    """qa: where in the context the answer stands."""

    def example(self, rows: Sequence[Any], number: int, rng: np.random.Generator) -> Row:
        row = rows[number]
        answer, at = _answer(row)
        question = str(row["question"])
        asked = len(self.tokenizer(question, "")["input_ids"])
        found = self.tokenizer(
            question,
            str(row["context"]),
            # A question that leaves its context no room is cut, too.
            truncation="only_second" if asked < self._length else "longest_first",
            max_length=self._length,
            return_offsets_mapping=True,
        )
        first = found.sequence_ids(0) if hasattr(found, "sequence_ids") else []
        inside = [n for n, part in enumerate(first) if part == 1]
        offsets = found["offset_mapping"]
        end = at + len(answer)
        start_token = next((n for n in inside if offsets[n][1] > at), 0)
        end_token = next((n for n in reversed(inside) if offsets[n][0] < end), 0)
        if not answer or not inside or offsets[inside[-1]][1] < end:
            # Cut off, or no answer at all: the first token stands for "not here".
            start_token = end_token = 0
        return self._row(found, start=start_token, end=end_token)

    def _size(self, row: Any) -> int:
        return len(self.tokenizer(str(row["question"]), str(row["context"]))["input_ids"])

    def collate(self, examples: list[Row]) -> Batch:
        return self._inputs(examples) | {
            "start": torch.tensor([row["start"] for row in examples]),
            "end": torch.tensor([row["end"] for row in examples]),
        }

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, int]:
        return self._both(model, dict(batch))[0], len(batch["start"])

    def _both(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        start, end = batch.pop("start"), batch.pop("end")
        out = model(**batch)
        entropy = torch.nn.functional.cross_entropy
        total = entropy(out.start_logits.float(), start, reduction="sum")
        total = (total + entropy(out.end_logits.float(), end, reduction="sum")) / 2
        return total, out.start_logits.argmax(-1) == start, out.end_logits.argmax(-1) == end

    def evaluate(self, model: Any, batches: Iterator[Batch], *, intervals: bool = False) -> dict[str, float]:
        losses: list[float] = []
        sizes: list[float] = []
        exact: list[float] = []
        starts: list[float] = []
        for batch in batches:
            sizes.append(len(batch["start"]))
            loss, start, end = self._both(model, batch)
            losses.append(float(loss))
            exact.append(float((start & end).sum()))
            starts.append(float(start.sum()))
        return {
            **_mean("loss", losses, sizes, intervals),
            **_mean("exact_match", exact, sizes, intervals),
            **_mean("start_accuracy", starts, sizes, intervals),
        }


def _texts(row: Any) -> list[str]:
    return [row["text"], row["text_pair"]] if row.get("text_pair") else [row["text"]]


def _answer(row: Any) -> tuple[str, int]:
    """Text and place of the first answer; ("", 0) when there is none."""
    answers = row.get("answers")
    if isinstance(answers, dict):
        texts, places = answers.get("text") or [], answers.get("answer_start") or []
        return (str(texts[0]), int(places[0])) if texts and places else ("", 0)
    answer = str(row.get("answer") or "")
    at = str(row["context"]).find(answer) if answer else 0
    if at < 0:
        raise DataError(f'The answer "{answer[:60]}" does not stand in its context.')
    return answer, at


def _number(known: dict[str, int], label: Any) -> int:
    if str(label) not in known:
        raise DataError(f'The label "{label}" is not one of: {", ".join(known)}.')
    return known[str(label)]


def _mean(name: str, values: Sequence[float], weights: Sequence[float], intervals: bool) -> dict[str, float]:
    if intervals and sum(weights) > 0:
        return named_ratio(name, values, weights)
    return {name: sum(values) / max(sum(weights), 1)}


def _f1(wanted: list[int], found: list[int]) -> float:
    return macro_f1(wanted, found).value if wanted else 0.0
