"""Keys and values of many texts at once, each in a row of its own that keeps what it has read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

_STEP = 64


class _Window:
    """The part of the cache that the next forward reads and writes."""

    def __init__(self) -> None:
        self.first, self.last, self.end = 0, 0, 0
        self.start = -1
        self.rows: Tensor | None = None
        self.columns: Tensor | None = None
        self.shape = (0, 0)


class _Layer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """Keys and values [rows, heads, tokens, size] of a layer. Its shape follows from the first forward."""

    is_sliding = False

    def __init__(self, window: _Window) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._window = window

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        rows, tokens = self._window.shape
        self.dtype, self.device = key_states.dtype, key_states.device
        # Zeros, not what lay there: a masked NaN is still one.
        self.keys = key_states.new_zeros(rows, key_states.shape[1], tokens, key_states.shape[3])
        self.values = value_states.new_zeros(rows, value_states.shape[1], tokens, value_states.shape[3])
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        window = self._window
        assert self.keys is not None
        assert self.values is not None
        if window.rows is None:
            stop = window.start + key_states.shape[2]
            self.keys[window.first : window.last, :, window.start : stop] = key_states
            self.values[window.first : window.last, :, window.start : stop] = value_states
        else:
            self.keys[window.rows, :, window.columns] = key_states.transpose(1, 2)
            self.values[window.rows, :, window.columns] = value_states.transpose(1, 2)
        part = slice(window.first, window.last)
        return self.keys[part, :, : window.end], self.values[part, :, : window.end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._window.end, 0

    def get_seq_length(self) -> int:
        return max(self._window.start, 0)

    def get_max_length(self) -> int:
        return -1

    def reshape(self, rows: int, tokens: int) -> None:
        """Another shape; what fits into it is kept."""
        if self.is_initialized:
            self.keys, self.values = _moved(self.keys, rows, tokens), _moved(self.values, rows, tokens)


def _moved(old: Any, rows: int, tokens: int) -> Tensor:
    new: Tensor = old.new_zeros(rows, old.shape[1], tokens, old.shape[3])
    rows, tokens = min(rows, old.shape[0]), min(tokens, old.shape[2])
    new[:rows, :, :tokens] = old[:rows, :, :tokens]
    return new


class Slots(Cache):
    """Rows of a cache of at most `cells` tokens together, the last column of each for filling.

    Rows are long as the longest text needs, so few long texts or many short ones fit.
    """

    def __init__(self, layers: int, *, most_rows: int, longest: int, cells: int) -> None:
        self._window = _Window()
        self._layers: list[Any] = [_Layer(self._window) for _ in range(layers)]
        super().__init__(layers=self._layers)
        self.most_rows, self.longest, self.cells = most_rows, longest + 1, cells
        self.rows, self.tokens = 0, 0
        self.fit(1, min(self.longest, 256) - 1)

    def could_fit(self, rows: int, tokens: int) -> bool:
        return rows <= self.most_rows and rows * _up(tokens + 1, self.longest) <= self.cells

    def fit(self, rows: int, tokens: int) -> int:
        """Make room for as many rows of as many tokens; how many rows there are. See `could_fit`."""
        if rows <= self.rows and tokens + 1 <= self.tokens:
            return self.rows
        wanted = _up(max(tokens * 3 // 2, 256) + 1, self.longest)
        if rows * wanted > self.cells:
            wanted = _up(tokens + 1, self.longest)
        self.rows, self.tokens = max(rows, min(self.most_rows, self.cells // wanted)), wanted
        self._window.shape = (self.rows, self.tokens)
        for layer in self._layers:
            layer.reshape(self.rows, self.tokens)
        return self.rows

    def open(self, first: int, last: int, starts: list[int], width: int, counts: list[int]) -> None:
        """Rows first..last are to read `width` columns, the last `counts` of them tokens from `starts` on."""
        window = self._window
        window.first, window.last = first, last
        window.end = max(start + count for start, count in zip(starts, counts, strict=True))
        window.start = starts[0]
        if all(start == starts[0] for start in starts) and all(count == width for count in counts):
            window.rows = window.columns = None
            return
        window.rows = torch.arange(first, last)[:, None].expand(-1, width)
        places = torch.tensor(starts)[:, None] + torch.tensor(counts)[:, None] - width + torch.arange(width)
        filling = torch.arange(width)[None] < width - torch.tensor(counts)[:, None]
        window.columns = places.masked_fill(filling, self.tokens - 1)

    def copy(self, source: int, target: int, tokens: int) -> None:
        for layer in self._layers:
            if layer.is_initialized:
                layer.keys[target, :, :tokens] = layer.keys[source, :, :tokens]
                layer.values[target, :, :tokens] = layer.values[source, :, :tokens]

    def swap(self, one: int, other: int, tokens: int) -> None:
        for layer in self._layers:
            if layer.is_initialized:
                for whole in (layer.keys, layer.values):
                    kept = whole[one, :, :tokens].clone()
                    whole[one, :, :tokens] = whole[other, :, :tokens]
                    whole[other, :, :tokens] = kept

    def clear(self, row: int) -> None:
        for layer in self._layers:
            if layer.is_initialized:
                layer.keys[row].zero_()
                layer.values[row].zero_()


def _up(tokens: int, longest: int) -> int:
    return min(-(-tokens // _STEP) * _STEP, longest)
