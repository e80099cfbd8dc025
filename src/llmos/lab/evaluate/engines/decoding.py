"""Generation, token by token, with rules for when to stop."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llmos.lab.evaluate.engines.base import NEAR, Generated, GenerateRequest, NotANumber, TooLong
from llmos.lab.evaluate.engines.double import Double
from llmos.lab.evaluate.engines.encode import Encoder
from llmos.lab.evaluate.engines.forward import TOKENS, Prefix, Tree, lay_out, plain, tree_mask
from llmos.lab.evaluate.engines.grouping import alike, batches

# A sampled number this near to the border between two tokens is settled like a near tie.
_NEAR_BORDER = 1e-4
# Tokens whose text may begin before the stop string that ends in the newest one.
_MARGIN = 4


@dataclass
class _Row:
    """An answer under way."""

    number: int
    request: GenerateRequest
    prompt: list[int]
    truncated: bool
    draw: Any
    made: list[int] = field(default_factory=list)


class Decoder:
    """Answers requests in batches. An answer does not depend on those beside it.

    Where two tokens are too close to call in single precision, the step is computed again in double.
    """

    def __init__(
        self,
        model: Any,
        double: Double,
        encoder: Encoder,
        max_length: int,
        batch_size: int,
        *,
        truncate: bool,
        sharing: bool,
    ) -> None:
        self.model, self.encoder, self.max_length = model, encoder, max_length
        self._double = double
        # Alone a row needs no filling, which not every architecture understands.
        self.batch_size = batch_size if sharing else 1
        self.truncate, self.sharing = truncate, sharing
        self.tokens = 0
        self._ends = _end_tokens(model, encoder.tokenizer)

    @torch.inference_mode()
    def generate(
        self, requests: Sequence[GenerateRequest], progress: Callable[[int], None]
    ) -> list[Generated]:
        """Raises TooLong for prompts that may not be cut, and NotANumber."""
        rows = [self._row(number, request) for number, request in enumerate(requests)]
        found: list[Generated | None] = [None] * len(rows)
        for shared, group in alike([row.prompt for row in rows]):
            prefix = Prefix(self.model, rows[group[0]].prompt[:shared])
            self.tokens += shared
            for batch in batches(
                [rows[n] for n in group],
                size=self.batch_size,
                width=lambda row: len(row.prompt) + row.request.max_new_tokens,
                most=lambda width: TOKENS // width,
            ):
                self._run(prefix, batch)
                for row in batch:
                    found[row.number] = Generated(self._text(row), len(row.made), row.truncated)
                progress(len(batch))
        return [answer for answer in found if answer is not None]

    def _row(self, number: int, request: GenerateRequest) -> _Row:
        ids = self._prompt_ids(request)
        # At least half of what the model reads is for the prompt.
        room = self.max_length - min(request.max_new_tokens, self.max_length // 2)
        name = request.id or str(number)
        if len(ids) > room and not self.truncate:
            raise TooLong(
                f"The prompt of sample {name} has {len(ids)} tokens; with {request.max_new_tokens} new "
                f"ones that is more than the {self.max_length} the model reads at once. Set context_policy: "
                "truncate_left, which cuts at the beginning and counts it, or fewer max_new_tokens.",
                data={"sample": name, "tokens": len(ids), "max": room},
            )
        seed = hashlib.sha256(f"{request.seed}\0{name}".encode()).digest()
        draw = np.random.Generator(np.random.Philox(int.from_bytes(seed[:8], "big")))
        return _Row(number, request, ids[-room:], len(ids) > room, draw)

    def _prompt_ids(self, request: GenerateRequest) -> list[int]:
        if not isinstance(request.prompt, str):
            return list(request.prompt)
        return self.encoder.encode([request.prompt])[0] or [self.encoder.prefix_id]

    def _run(self, prefix: Prefix, batch: Sequence[_Row]) -> None:
        rows = list(batch)
        steps = self._steps(prefix, rows)
        logits = next(steps)
        while True:
            going = []
            for place, row in enumerate(rows):
                row.made.append(self._choose(row, logits[place]))
                if not self._is_done(row):
                    going.append(place)
            rows = [rows[place] for place in going]
            if not rows:
                return
            logits = steps.send((rows, going))

    def _steps(self, prefix: Prefix, rows: list[_Row]) -> Any:
        """The logits of the next token of each row; sent are the rows that go on, and where they were."""
        layout = lay_out([Tree(row.prompt[len(prefix) :], []) for row in rows], len(prefix))
        cache, device = prefix.cache(len(rows)), self.model.device
        seen = torch.from_numpy(layout.groups >= 0)
        seen = torch.cat([torch.ones(len(rows), len(prefix), dtype=torch.bool), seen], dim=1)
        ids, positions = torch.from_numpy(layout.ids), torch.from_numpy(layout.positions)
        mask = tree_mask(layout.groups, len(prefix), self.model.dtype)
        while True:
            # A row alone that shares nothing goes the way every architecture knows.
            extra = {"attention_mask": mask.to(device)} if self.sharing else {}
            found = self.model(
                input_ids=ids.to(device),
                position_ids=positions.to(device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
                **extra,
            )
            self.tokens += ids.numel()
            rows, going = yield _checked(found.logits[:, -1])
            if len(going) < len(positions):
                cache.batch_select_indices(torch.tensor(going, device=device))
            ids = torch.tensor([[row.made[-1]] for row in rows])
            positions = torch.tensor([[len(row.prompt) + len(row.made) - 1] for row in rows])
            seen = torch.cat([seen[going], torch.ones(len(rows), 1, dtype=torch.bool)], dim=1)
            mask = torch.zeros(seen.shape, dtype=self.model.dtype)
            mask = mask.masked_fill_(~seen, torch.finfo(mask.dtype).min)[:, None, None]

    # Which token

    def _choose(self, row: _Row, logits: Tensor) -> int:
        if row.request.temperature == 0:
            top = torch.topk(logits, 2)
            if float(top.values[0] - top.values[1]) >= NEAR:
                return int(top.indices[0])
            return int(self._settled(row, logits).argmax())
        drawn = row.draw.random()
        token, gap = _sample(logits.double(), row.request, drawn)
        if gap >= _NEAR_BORDER:
            return token
        return _sample(self._settled(row, logits).double(), row.request, drawn)[0]

    def _settled(self, row: _Row, logits: Tensor) -> Tensor:
        """The logits of this step in double precision, to eight digits."""
        if not self._double.is_possible:
            return logits
        ids = [*row.prompt, *row.made]
        self.tokens += len(ids)
        return plain(self._double.model, [ids], len(ids) - 1)[0, 0].round(decimals=8)

    # When to stop

    def _is_done(self, row: _Row) -> bool:
        if row.made[-1] in self._ends or len(row.made) >= row.request.max_new_tokens:
            return True
        if len(row.prompt) + len(row.made) >= self.max_length:
            return True
        if not row.request.stop:
            return False
        # A token is at least a byte of text, so the stop string lies in as many tokens.
        tail = max(len(stop.encode()) for stop in row.request.stop) + _MARGIN
        text = self.encoder.tokenizer.decode(row.made[-tail:], skip_special_tokens=False)
        return any(stop in text for stop in row.request.stop)

    def _text(self, row: _Row) -> str:
        ids = row.made[:-1] if row.made[-1] in self._ends else row.made
        text: str = self.encoder.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        cuts = [text.find(stop) for stop in row.request.stop if stop and stop in text]
        return text[: min(cuts)] if cuts else text


def _checked(logits: Tensor) -> Tensor:
    if bool(torch.isnan(logits).any()):
        raise NotANumber("The model's logits are not numbers (NaN): its weights are damaged or overflow.")
    return logits


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    config = getattr(model, "generation_config", None)
    found = [tokenizer.eos_token_id, getattr(config, "eos_token_id", None)]
    flat = [x for entry in found for x in (entry if isinstance(entry, list) else [entry])]
    return frozenset(int(token) for token in flat if token is not None)


def _sample(logits: Tensor, request: GenerateRequest, drawn: float) -> tuple[int, float]:
    """The token at `drawn` in the summed probabilities, and how far it is from the next token's part.

    Likeliest first: what top_k and top_p leave out is at the end.
    """
    order = torch.sort(logits / request.temperature, descending=True, stable=True)
    probabilities = torch.softmax(order.values, dim=-1)
    keep = request.top_k or len(probabilities)
    total = torch.cumsum(probabilities, dim=-1)
    if request.top_p < 1:
        keep = min(keep, int((total < request.top_p).sum()) + 1)
    total = total[:keep] / total[keep - 1]
    place = min(int((total <= drawn).sum()), keep - 1)
    return int(order.indices[place]), float((total - drawn).abs().min())
