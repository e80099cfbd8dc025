"""Many texts that grow together: each forward adds a token to all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from llmos.lab.serve.rows import Row, Step, common_length
from llmos.lab.serve.slots import Slots

# Fewer equal tokens at the beginning are not worth copying.
_WORTH = 8
# Room kept behind a text that begins, so that it is not put back at once.
_RESERVE = 32


@dataclass
class _Kept:
    """What lies in a row of the cache that nobody uses."""

    ids: list[int] = field(default_factory=list)
    used: int = 0


class Batch:
    """Rows 0..n of the cache grow, those behind keep what was read, for texts that begin alike.

    The model's attention must take any mask (`forward.SHARING`). `most_tokens` are read in one forward of
    prompts; between two such forwards all others grow by a token.
    """

    def __init__(self, model: Any, *, streams: int, context: int, cells: int, most_tokens: int) -> None:
        self.model, self.most_tokens = model, most_tokens
        self.vocabulary: int = model.get_output_embeddings().weight.shape[0]
        self.slots = Slots(
            model.config.num_hidden_layers, most_rows=streams, longest=context, cells=max(cells, context + 1)
        )
        self.waiting: deque[Row] = deque()
        self.rows: list[Row] = []
        self._kept: list[_Kept] = []
        self._clock = 0
        self._device = model.device
        self._least = torch.finfo(model.dtype).min

    def add(self, row: Row) -> None:
        self.waiting.append(row)

    @torch.inference_mode()
    def end(self, row: Row, *, spoilt: bool = False) -> None:
        """The row's cache is free from now on; `spoilt` wipes it."""
        row.is_live = False
        if row in self.rows:
            place = self.rows.index(row)
            last = len(self.rows) - 1
            if spoilt:
                self.slots.clear(place)
            if place != last:
                self.slots.swap(place, last, max(row.read, self.rows[last].read))
                self.rows[place] = self.rows[last]
            self.rows.pop()
            self._clock += 1
            kept = [] if spoilt else row.ids[: row.read]
            self._kept.insert(0, _Kept(kept, self._clock))
        elif row in self.waiting:
            self.waiting.remove(row)

    @property
    def free_tokens(self) -> int:
        return self.slots.cells - sum(len(row.ids) for row in self.rows)

    @property
    def has_work(self) -> bool:
        return bool(self.rows or self.waiting)

    @torch.inference_mode()
    def read_prompts(self) -> Step | None:
        """Take texts from the queue, and read a part of those that are not yet read to their end."""
        fresh = [row for row in self.rows if not row.was_started]
        if not fresh:
            fresh = self._admit()
        if not fresh:
            return None
        # They lie behind all others: rows that end are filled from behind, so order is restored here.
        first = self._gather(fresh)
        starts = [row.read for row in fresh]
        counts = [min(len(row.ids) - row.read, self._part(row)) for row in fresh]
        scored = fresh[0] if fresh[0].whole else None
        width = max(counts)
        logits = self._forward(first, starts, counts, keep=width if scored else 1)
        for row, count in zip(fresh, counts, strict=True):
            row.read += count
        if scored:
            if scored.read == len(scored.ids):
                scored.was_started = True
            return Step([scored] if scored.was_started else [], logits[0], scored, starts[0])
        done = [row.read == len(row.ids) for row in fresh]
        for row, is_done in zip(fresh, done, strict=True):
            row.was_started = is_done
        ended = [number for number, is_done in enumerate(done) if is_done]
        return Step([fresh[number] for number in ended], logits[ended, -1])

    @torch.inference_mode()
    def grow(self) -> Step | None:
        """A token more for every row that has one to read. None when there is none."""
        ready = [row for row in self.rows if row.was_started]
        while ready and not self._has_room(ready):
            self._put_back(self.rows[-1])
            ready = [row for row in self.rows if row.was_started]
        if not ready:
            return None
        self._gather([row for row in self.rows if not row.was_started])
        rows = self.rows[: len(ready)]
        starts = [row.read for row in rows]
        logits = self._forward(0, starts, [1] * len(rows), keep=1)
        for row in rows:
            row.read += 1
        return Step(list(rows), logits[:, -1])

    def _part(self, row: Row) -> int:
        if not row.whole:
            return self.most_tokens
        # All their logits are kept: a quarter of a GiB in single precision.
        return max(1, min(self.most_tokens, (1 << 26) // self.vocabulary))

    def _has_room(self, ready: Sequence[Row]) -> bool:
        longest = max(len(row.ids) for row in self.rows)
        if longest + 1 <= self.slots.tokens:
            return True
        if len(self.rows) > 1 and not self.slots.could_fit(len(self.rows), longest):
            return False
        self._fit(len(self.rows), longest)
        return True

    def _fit(self, rows: int, tokens: int) -> None:
        found = self.slots.fit(rows, tokens)
        del self._kept[max(0, found - len(self.rows)) :]
        for kept in self._kept:
            del kept.ids[self.slots.tokens - 1 :]

    def _put_back(self, row: Row) -> None:
        """The youngest waits again; what it said so far is read anew then."""
        self.end(row)
        row.is_live, row.was_started, row.read = True, False, 0
        self.waiting.appendleft(row)

    # Beginning

    def _admit(self) -> list[Row]:
        """The rows that begin now: several short ones, or one."""
        fresh: list[Row] = []
        width = 0
        for row in list(self.waiting):
            if fresh and (row.whole or fresh[0].whole):
                break
            longest = max([len(r.ids) for r in self.rows] + [len(row.ids) + _RESERVE])
            longest = min(longest, self.slots.longest - 1)
            if not self.slots.could_fit(len(self.rows) + 1, longest) and self.rows:
                break
            if fresh and common_length(row.ids, fresh[0].ids) >= 2 * _WORTH:
                # What they share is read once, by the first.
                continue
            source, common = self._likest(row)
            left = len(row.ids) - common
            if fresh and max(width, left) * (len(fresh) + 1) > self.most_tokens:
                break
            self._begin(row, source, common, longest)
            fresh.append(row)
            width = max(width, left)
            if width > self.most_tokens:
                break
        return fresh

    def _likest(self, row: Row) -> tuple[int, int]:
        """The row of the cache that begins most like this text, and with how many tokens."""
        if row.whole:
            return -1, 0
        best, source = _WORTH - 1, -1
        for place, other in enumerate(self.rows):
            common = common_length(row.ids, other.ids[: other.read])
            if common > best:
                best, source = common, place
        for place, kept in enumerate(self._kept):
            common = common_length(row.ids, kept.ids)
            if common > best:
                best, source = common, len(self.rows) + place
        # The last token is read anew: its logits are wanted.
        return (source, min(best, len(row.ids) - 1)) if source >= 0 else (-1, 0)

    def _begin(self, row: Row, source: int, common: int, longest: int) -> None:
        place = len(self.rows)
        kept_source = source - place if source >= place else -1
        if len(self.rows) + 1 > self.slots.rows or longest + 1 > self.slots.tokens:
            self._fit(len(self.rows) + 1, longest)
            if kept_source >= 0:
                left = self._kept[kept_source].ids if kept_source < len(self._kept) else []
                common = min(common, len(left))
                source, kept_source = (source, kept_source) if left else (-1, -1)
        while len(self._kept) < self.slots.rows - len(self.rows):
            self._kept.append(_Kept())
        if kept_source < 0:
            # The one not used for longest makes room.
            oldest = min(range(len(self._kept)), key=lambda n: (self._kept[n].used, -n))
            self._take_kept(oldest)
            if source >= 0:
                self.slots.copy(source, place, common)
        else:
            self._take_kept(kept_source)
        self.waiting.remove(row)
        row.read = row.cached = common
        self.rows.append(row)

    def _take_kept(self, number: int) -> None:
        """Row `number` of those kept becomes the first behind those that grow, and is no longer kept."""
        place = len(self.rows)
        if number:
            self.slots.swap(place, place + number, max(len(self._kept[0].ids), len(self._kept[number].ids)))
            self._kept[number] = self._kept[0]
        self._kept.pop(0)

    def _gather(self, last: list[Row]) -> int:
        """Move these rows behind all others that grow; where the first of them is."""
        first = len(self.rows) - len(last)
        wanted = {id(row) for row in last}
        away = [n for n in range(first) if id(self.rows[n]) in wanted]
        home = [n for n in range(first, len(self.rows)) if id(self.rows[n]) not in wanted]
        for one, other in zip(away, home, strict=True):
            a, b = self.rows[one], self.rows[other]
            self.slots.swap(one, other, max(a.read, b.read))
            self.rows[one], self.rows[other] = b, a
        last[:] = self.rows[first:]
        return first

    # Computing

    def _forward(self, first: int, starts: list[int], counts: list[int], *, keep: int) -> Tensor:
        """Logits of the last `keep` columns; texts end in the last column."""
        rows, width = self.rows[first : first + len(starts)], max(counts)
        self.slots.open(first, first + len(rows), starts, width, counts)
        ids = [
            [0] * (width - count) + row.ids[start : start + count]
            for row, start, count in zip(rows, starts, counts, strict=True)
        ]
        ends = torch.tensor([start + count for start, count in zip(starts, counts, strict=True)])
        places = (ends[:, None] - width + torch.arange(width)).clamp_(min=0)
        found: Tensor = self.model(
            input_ids=torch.tensor(ids, device=self._device),
            position_ids=places.to(self._device),
            attention_mask=self._mask(places, int(ends.max())),
            past_key_values=self.slots,
            use_cache=True,
            logits_to_keep=keep,
        ).logits
        return found[:, -keep:]

    def _mask(self, places: Tensor, end: int) -> Tensor:
        """Each token sees those up to its own place: [rows, 1, width, end]."""
        hidden = torch.arange(end)[None, None] > places[:, :, None]
        mask = torch.zeros(hidden.shape, dtype=self.model.dtype).masked_fill_(hidden, self._least)
        return mask[:, None].to(self._device)
