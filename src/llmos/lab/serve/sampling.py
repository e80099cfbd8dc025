"""Which token comes next, for many texts at once. What one text draws depends on nothing beside it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llmos.wire.serving import Generate

# What top_p keeps nearly always lies among so many of the likeliest; a whole sort costs ten times more.
_HEAD = 512
_COLDEST = 1e-5


class Sampler:
    """The wishes of one text about its tokens, and its own source of chance.

    `mask` gives the tokens a grammar allows next as booleans, or None for all.
    """

    def __init__(self, call: Generate, index: int, prompt: Sequence[int], ends: Collection[int]) -> None:
        self.call = call
        self.temperature = call.temperature
        # Divided by less than this, logits are no numbers any more.
        self.is_greedy = call.temperature < _COLDEST or call.top_k == 1
        self.is_cut = call.top_p < 1 or call.top_k > 0 or call.min_p > 0
        seed = os.urandom(16) if call.seed is None else f"{call.seed}\0{index}".encode()
        key = int.from_bytes(hashlib.sha256(seed).digest()[:16], "big")
        self._chance = np.random.Generator(np.random.Philox(key))
        self._drawn: float | None = None
        self.mask: Callable[[], Tensor | None] | None = None
        self._bias = [(int(token), value) for token, value in call.logit_bias.items()]
        self._ends = [] if call.ignore_eos else list(ends)
        self._seen = set(prompt) if call.repetition_penalty != 1 else set()
        self._made: Counter[int] = Counter()
        self._counts = bool(call.frequency_penalty or call.presence_penalty or call.repetition_penalty != 1)

    def draw(self) -> float:
        """The same number until a token is taken: a choice may have to be made again."""
        if self._drawn is None:
            self._drawn = float(self._chance.random())
        return self._drawn

    def took(self, token: int) -> None:
        self._drawn = None
        if self._counts:
            self._made[token] += 1

    def changes(self, made: int) -> bool:
        """Whether logits must be changed before a token is chosen."""
        return bool(self.mask or self._bias or self._counts or (self._ends and made < self.call.min_tokens))

    def change(self, logits: Tensor, made: int) -> Tensor:
        """Penalties, biases and what is allowed, on a copy of one row."""
        logits = logits.clone()
        call = self.call
        if call.repetition_penalty != 1 and (self._seen or self._made):
            where = torch.tensor(sorted(self._seen | self._made.keys()), device=logits.device)
            old = logits[where]
            logits[where] = torch.where(old > 0, old / call.repetition_penalty, old * call.repetition_penalty)
        if self._made and (call.frequency_penalty or call.presence_penalty):
            where = torch.tensor(list(self._made), device=logits.device)
            often = torch.tensor(list(self._made.values()), device=logits.device, dtype=logits.dtype)
            logits[where] -= often * call.frequency_penalty + call.presence_penalty
        for token, value in self._bias:
            logits[token] += value
        allowed = self.mask() if self.mask else None
        if allowed is not None:
            allowed = allowed[: len(logits)]
            logits[: len(allowed)].masked_fill_(~allowed.to(logits.device), -torch.inf)
            logits[len(allowed) :] = -torch.inf
        if self._ends and made < call.min_tokens:
            longer = logits.clone()
            longer[self._ends] = -torch.inf
            # A grammar that allows nothing but the end counts more.
            logits = longer if allowed is None or bool(longer.max() > -torch.inf) else logits
        return logits


def choose(logits: Tensor, samplers: Sequence[Sampler], made: Sequence[int]) -> list[int | None]:
    """The next token of each row; None where its logits are not numbers. `made`: tokens each has so far."""
    logits = logits.float()
    changed = [n for n, sampler in enumerate(samplers) if sampler.changes(made[n])]
    if changed:
        logits = logits.clone()
        for n in changed:
            logits[n] = samplers[n].change(logits[n], made[n])
    best = logits.max(dim=-1)
    sound = torch.isfinite(best.values).tolist()
    found: list[int | None] = list(best.indices.tolist())
    free = [n for n, s in enumerate(samplers) if sound[n] and not s.is_greedy and not s.is_cut]
    cut = [n for n, s in enumerate(samplers) if sound[n] and not s.is_greedy and s.is_cut]
    if free:
        for n, token in zip(free, _draw(logits, samplers, free), strict=True):
            found[n] = token
    if cut:
        for n, token in zip(cut, _draw_cut(logits, samplers, cut), strict=True):
            found[n] = token
    return [token if is_sound else None for token, is_sound in zip(found, sound, strict=True)]


def _warm(logits: Tensor, samplers: Sequence[Sampler], rows: list[int]) -> Tensor:
    heat = torch.tensor([samplers[n].temperature for n in rows], device=logits.device)
    return torch.softmax(logits[rows] / heat[:, None], dim=-1)


def _draw(logits: Tensor, samplers: Sequence[Sampler], rows: list[int]) -> list[int]:
    total = torch.cumsum(_warm(logits, samplers, rows), dim=-1)
    drawn = torch.tensor([[samplers[n].draw()] for n in rows], device=logits.device) * total[:, -1:]
    places = torch.searchsorted(total, drawn, right=True).squeeze(-1)
    found: list[int] = places.clamp_(max=logits.shape[-1] - 1).tolist()
    # Rounding may point behind the last token that has a probability at all.
    for place, n in enumerate(rows):
        if not bool(torch.isfinite(logits[n, found[place]])):
            found[place] = int(logits[n].argmax())
    return found


def _draw_cut(logits: Tensor, samplers: Sequence[Sampler], rows: list[int]) -> list[int]:
    probabilities = _warm(logits, samplers, rows)
    size = probabilities.shape[-1]
    head = torch.topk(probabilities, min(size, max(_HEAD, *(samplers[n].call.top_k for n in rows))), dim=-1)
    found = []
    for place, n in enumerate(rows):
        call = samplers[n].call
        values, indices = head.values[place].double().cpu().numpy(), head.indices[place].cpu().numpy()
        if len(values) < size and not call.top_k and not _is_enough(values, call):
            order = torch.sort(probabilities[place], descending=True, stable=True)
            values, indices = order.values.double().cpu().numpy(), order.indices.cpu().numpy()
        keep = _kept(values, call)
        total = np.cumsum(values[:keep])
        drawn = samplers[n].draw() * total[-1]
        found.append(int(indices[min(int(np.searchsorted(total, drawn, side="right")), keep - 1)]))
    return found


def _is_enough(values: Any, call: Generate) -> bool:
    """Whether what top_p and min_p leave out begins among these."""
    if call.top_p < 1 and float(values.sum()) >= call.top_p:
        return True
    return call.min_p > 0 and float(values[-1]) < call.min_p * float(values[0])


def _kept(values: Any, call: Generate) -> int:
    """How many of the likeliest stay: top_k, then top_p of what is left, then min_p."""
    keep = min(call.top_k or len(values), len(values))
    if call.top_p < 1:
        total = np.cumsum(values[:keep])
        whole = float(total[-1]) if call.top_k else 1.0
        keep = min(keep, int((total < call.top_p * whole).sum()) + 1)
    if call.min_p > 0:
        keep = min(keep, int((values[:keep] >= call.min_p * values[0]).sum()))
    return max(keep, 1)
