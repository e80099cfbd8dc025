"""Models that cannot share a forward: each text has a cache of its own and is read alone.

For architectures whose attention takes no masks of ours, and for those that write one text from another.
Offers what `batch.Batch` offers.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llmos.lab.serve.rows import Row, Step


@dataclass
class _State:
    """What a text has beside its tokens: cache, and for a writer what its encoder made of the prompt."""

    prompt: int
    cache: Any = None
    encoded: Any = None


class SoloBatch:
    """At most `streams` texts take turns, a token each."""

    def __init__(self, model: Any, *, streams: int, context: int, first: list[int] | None = None) -> None:
        self.model, self.streams, self.cells = model, streams, streams * context
        self.vocabulary: int = model.get_output_embeddings().weight.shape[0]
        # A model with an encoder begins to write with these.
        self._first = first
        self.waiting: deque[Row] = deque()
        self.rows: list[Row] = []
        self._states: dict[int, _State] = {}

    @property
    def has_work(self) -> bool:
        return bool(self.rows or self.waiting)

    @property
    def free_tokens(self) -> int:
        return max(0, self.cells - sum(len(row.ids) for row in self.rows))

    def add(self, row: Row) -> None:
        self.waiting.append(row)

    def end(self, row: Row, *, spoilt: bool = False) -> None:
        row.is_live = False
        if row in self.rows:
            self.rows.remove(row)
            del self._states[id(row)]
        elif row in self.waiting:
            self.waiting.remove(row)

    @torch.inference_mode()
    def read_prompts(self) -> Step | None:
        if not self.waiting or len(self.rows) >= self.streams:
            return None
        row = self.waiting.popleft()
        self.rows.append(row)
        state = self._states[id(row)] = _State(len(row.ids))
        row.was_started = True
        logits = self._begin(row, state)
        row.read = len(row.ids)
        if row.whole:
            return Step([row], logits, row, 0)
        return Step([row], logits[-1:])

    @torch.inference_mode()
    def grow(self) -> Step | None:
        rows = [row for row in self.rows if row.read < len(row.ids)]
        if not rows:
            return None
        found = [self._go_on(row, self._states[id(row)]) for row in rows]
        for row in rows:
            row.read = len(row.ids)
        return Step(rows, torch.cat(found))

    def _begin(self, row: Row, state: _State) -> Tensor:
        ids = torch.tensor([row.ids], device=self.model.device)
        if self._first is None:
            return self._forward(state, input_ids=ids, keep=0 if row.whole else 1)
        mask = torch.ones_like(ids)
        state.encoded = (self.model.get_encoder()(input_ids=ids, attention_mask=mask), mask)
        return self._write(state, self._first)

    def _go_on(self, row: Row, state: _State) -> Tensor:
        if self._first is not None:
            return self._write(state, [row.ids[-1]])
        return self._forward(state, input_ids=torch.tensor([[row.ids[-1]]], device=self.model.device), keep=1)

    def _write(self, state: _State, ids: list[int]) -> Tensor:
        encoded, mask = state.encoded
        made = self.model(
            encoder_outputs=encoded,
            attention_mask=mask,
            decoder_input_ids=torch.tensor([ids], device=self.model.device),
            past_key_values=state.cache,
            use_cache=True,
        )
        state.cache = made.past_key_values
        logits: Tensor = made.logits[0, -1:]
        return logits

    def _forward(self, state: _State, *, input_ids: Tensor, keep: int) -> Tensor:
        made = self.model(input_ids=input_ids, past_key_values=state.cache, use_cache=True)
        state.cache = made.past_key_values
        logits: Tensor = made.logits[0, -keep:]
        return logits
