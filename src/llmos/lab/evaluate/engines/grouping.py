"""Which rows to compute together: those that begin alike, then those as long as each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

# A shorter beginning costs more to keep apart than to compute again.
LEAST = 8
_T = TypeVar("_T")


def alike(rows: Sequence[Sequence[int]]) -> list[tuple[int, list[int]]]:
    """Groups of rows with the length of their common beginning, so that most tokens are shared.

    A beginning leaves at least one token of each row. Rows that share nothing worth it come together in
    one group of length 0.
    """
    order = sorted(range(len(rows)), key=lambda number: tuple(rows[number]))
    common = [_common(rows[a], rows[b]) for a, b in pairwise(order)]
    alone: list[int] = []
    groups: list[tuple[int, list[int]]] = []
    pending = [(0, len(order))] if order else []
    while pending:
        start, end = pending.pop()
        shared = min(common[start : end - 1], default=0)
        shared = min(shared, min(len(rows[n]) for n in order[start:end]) - 1)
        parts = _split(common, start, end)
        inner = sum((b - a - 1) * min(common[a : b - 1], default=0) for a, b in parts)
        if end - start > 1 and shared >= LEAST and (end - start - 1) * shared >= inner:
            groups.append((shared, sorted(order[start:end])))
        elif len(parts) > 1:
            pending += parts
        else:
            alone += order[start:end]
    if alone:
        groups.append((0, sorted(alone)))
    return groups


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    number = 0
    for number, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return number
    return min(len(first), len(second), number + 1)


def _split(common: Sequence[int], start: int, end: int) -> list[tuple[int, int]]:
    """Parts of a run of sorted rows, cut where neighbours share least."""
    between = common[start : end - 1]
    if not between:
        return [(start, end)]
    least = min(between)
    cuts = [start + 1 + n for n, length in enumerate(between) if length == least]
    edges = [start, *cuts, end]
    return list(pairwise(edges))


def batches(
    items: Sequence[_T], *, size: int, width: Callable[[_T], int], most: Callable[[int], int]
) -> Iterator[list[_T]]:
    """Runs of items of like width, widest first; at most `size`, and at most `most(width)` of them."""
    batch: list[_T] = []
    limit = size
    for item in sorted(items, key=width, reverse=True):
        if not batch:
            limit = max(1, min(size, most(width(item))))
        batch.append(item)
        if len(batch) >= limit:
            yield batch
            batch = []
    if batch:
        yield batch


def windows(
    ids: Sequence[int], prefix: int, length: int, *, overlap: bool
) -> list[tuple[list[int], int, list[int]]]:
    """Rows (ids, column that predicts the first wanted token, wanted tokens) that cover `ids` once.

    A row holds at most `length` ids. The first window scores as many tokens, each further one half as many
    after half a context, or (without `overlap`) as many after a single token; the last is a full row.
    """
    if not ids:
        return []
    everything = [prefix, *ids]
    step = max(1, length // 2) if overlap else length
    rows, done = [], 0
    while done < len(ids):
        # everything[i] predicts ids[i].
        end = min(len(ids), done + (length if done == 0 else step))
        begin = max(0, end - length)
        rows.append((everything[begin:end], done - begin, list(ids[done:end])))
        done = end
    return rows
