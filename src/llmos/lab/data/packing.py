"""Rows of `seq_len` tokens with next to no padding, in which documents do not see each other.

A row is a dict of arrays of length L = seq_len:

- `input_ids` int64,
- `labels` int64: the same ids, -100 where nothing is to be learnt: padding, tokens outside the mask,
  and the first token of each document, which must not be guessed from the one before it,
- `position_ids` int64: from 0 anew at each document; transformers derives from it, when there is no
  attention mask, that attention stays inside a document,
- `document_ids` int64: the number of the document within the row, -1 for padding.

Three ways to pack. `stream`: documents one after another, cut every L tokens; no token is lost and only
the last row has padding. `fit`: whole documents only, each row filled as well as possible (best fit, longest
first); for texts that lose their sense when cut. `none`: one document a row.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llmos.lab.data.cache import Facts, TokenCache, open_cache, write_cache
from llmos.lab.data.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llmos.lab.data.cache import Item

    Row = dict[str, NDArray[np.int64]]

Mode = Literal["stream", "fit", "none"]
Longer = Literal["error", "cut", "drop"]
IGNORED = -100


def pack(
    items: Iterable[Item],
    seq_len: int,
    folder: Path,
    *,
    vocab_size: int,
    pad_id: int = 0,
    mode: Mode = "stream",
    longer: Longer = "error",
    facts: Facts | None = None,
) -> Packed:
    """The rows of `items`; their tokens are read from `folder` if they are there, else written to it.

    `folder` should end in `cache_key(…)` of all that `items` are made from. `items` is not touched
    when the cache is there. See `Packed` for `mode` and `longer`.
    """
    cache = open_cache(folder) or write_cache(items, folder, vocab_size=vocab_size, facts=facts)
    return Packed(cache, seq_len, pad_id=pad_id, mode=mode, longer=longer)


class Packed:
    """A sequence of rows over a token cache; safe to share between processes."""

    def __init__(
        self,
        cache: TokenCache,
        seq_len: int,
        *,
        pad_id: int = 0,
        mode: Mode = "stream",
        longer: Longer = "error",
    ) -> None:
        """`longer` decides, in modes "fit" and "none", about documents of more than `seq_len` tokens: refuse
        them with a DataError, keep their first `seq_len` tokens, or leave them out."""
        if seq_len < 2:
            raise DataError(f"The sequence length is {seq_len}; a model learns from 2 tokens or more.")
        self.cache, self.seq_len, self.pad_id, self.mode = cache, seq_len, pad_id, mode
        self.dropped = 0
        self._fits: list[list[int]] = []
        if mode != "stream":
            self._fits, self.dropped = _whole_documents(cache, seq_len, longer, joined=mode == "fit")

    def __len__(self) -> int:
        return len(self._fits) if self.mode != "stream" else -(-self.cache.n_tokens // self.seq_len)

    def __getitem__(self, number: int) -> Row:
        if not 0 <= number < len(self):
            raise IndexError(number)
        spans = self._stream_spans(number) if self.mode == "stream" else self._fit_spans(number)
        return self._row(spans)

    @property
    def n_tokens(self) -> int:
        """Tokens in all rows together, padding aside."""
        if self.mode == "stream":
            return self.cache.n_tokens
        return sum(end - start for n in range(len(self)) for start, end in self._fit_spans(n))

    @property
    def fill(self) -> float:
        """The share of the rows that is no padding."""
        return self.n_tokens / (len(self) * self.seq_len)

    def _stream_spans(self, number: int) -> list[tuple[int, int]]:
        import numpy as np

        begin = number * self.seq_len
        end = min(begin + self.seq_len, self.cache.n_tokens)
        starts = self.cache.starts
        low, high = np.searchsorted(starts, [begin, end], side="right")
        cuts = [begin, *(int(start) for start in starts[low:high] if begin < start < end), end]
        return list(pairwise(cuts))

    def _fit_spans(self, number: int) -> list[tuple[int, int]]:
        starts = self.cache.starts
        spans = ((int(starts[n]), int(starts[n + 1])) for n in self._fits[number])
        return [(start, min(end, start + self.seq_len)) for start, end in spans]

    def _row(self, spans: list[tuple[int, int]]) -> Row:
        import numpy as np

        ids = np.full(self.seq_len, self.pad_id, dtype=np.int64)
        labels = np.full(self.seq_len, IGNORED, dtype=np.int64)
        positions = np.zeros(self.seq_len, dtype=np.int64)
        documents = np.full(self.seq_len, -1, dtype=np.int64)
        at = 0
        for number, (start, end) in enumerate(spans):
            to = at + end - start
            ids[at:to] = self.cache.tokens[start:end]
            labels[at:to] = ids[at:to]
            if self.cache.mask is not None:
                labels[at:to][self.cache.mask[start:end] == 0] = IGNORED
            labels[at] = IGNORED
            positions[at:to] = np.arange(to - at)
            documents[at:to] = number
            at = to
        positions[at:] = np.arange(self.seq_len - at)
        return {"input_ids": ids, "labels": labels, "position_ids": positions, "document_ids": documents}


def _whole_documents(
    cache: TokenCache, seq_len: int, longer: Longer, *, joined: bool
) -> tuple[list[list[int]], int]:
    """Documents of each row, and how many were left out."""
    import numpy as np

    lengths = np.diff(cache.starts.astype(np.int64))
    check_longer(lengths.tolist(), seq_len, longer)
    kept = np.flatnonzero(lengths <= seq_len) if longer == "drop" else np.arange(len(lengths))
    dropped = len(lengths) - len(kept)
    if not joined:
        return [[n] for n in kept.tolist()], dropped
    order = kept[np.argsort(-lengths[kept], kind="stable")]
    return _best_fit({n: min(int(lengths[n]), seq_len) for n in order.tolist()}, seq_len), dropped


def _best_fit(needs: dict[int, int], seq_len: int) -> list[list[int]]:
    """Documents of each row, from their lengths, longest first. Rows keep the order of their first ones."""
    rows: list[list[int]] = []
    free: list[tuple[int, int]] = []  # (room left, row), sorted
    for n, need in needs.items():
        at = bisect_left(free, (need, -1))
        room, row = free.pop(at) if at < len(free) else (seq_len, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(n)
        if room > need:
            insort(free, (room - need, row))
    return sorted((sorted(row) for row in rows), key=lambda row: row[0])


def check_longer(lengths: Sequence[int], seq_len: int, longer: str) -> None:
    """Raise DataError when examples are longer than `seq_len` tokens and must not be, or when all would be
    dropped."""
    too_long = sum(length > seq_len for length in lengths)
    if too_long and longer == "error":
        raise DataError(
            f"{too_long} of {len(lengths)} examples are longer than the sequence length of {seq_len} tokens "
            f"(the longest has {max(lengths)}). Raise training.sequence_length, or set data.longer to cut or "
            "drop."
        )
    if too_long == len(lengths) and lengths and longer == "drop":
        raise DataError(
            f"All {len(lengths)} examples are longer than {seq_len} tokens and would be dropped. Raise "
            "training.sequence_length, or set data.longer to cut."
        )
