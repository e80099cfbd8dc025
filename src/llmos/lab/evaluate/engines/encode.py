"""Texts to tokens, cut between context and continuation where lm-evaluation-harness cuts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmos.lab.evaluate.engines.base import EmptyContinuation, EngineError, Request

_BATCH = 512


class Encoder:
    """Tokens of contexts and continuations.

    Context and continuation are encoded together and cut after as many tokens as the context has alone;
    blanks at the end of a context go to the continuation. An empty context is the token that begins a text.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
        self._prefix: int | None = bos if bos is not None else eos
        self._prefix_text: str | None = None if self._prefix is None else tokenizer.decode([self._prefix])

    @property
    def prefix_id(self) -> int:
        """What a text begins after: the beginning-of-text token, or the end-of-text token."""
        if self._prefix is None:
            raise EngineError(
                "The tokenizer has neither a beginning- nor an end-of-text token, so the first token of a "
                "text has no likelihood. Give it one: bos_token in tokenizer_config.json."
            )
        return self._prefix

    def encode(self, texts: Sequence[str], *, special: bool | None = None) -> list[list[int]]:
        """Ids of each text; the tokenizer's own special tokens unless the text begins with them."""
        found: list[list[int]] = []
        plain = [special is False or self._begins(text) for text in texts]
        for start in range(0, len(texts), _BATCH):
            part, bare = texts[start : start + _BATCH], plain[start : start + _BATCH]
            if all(bare) or not any(bare):
                found += self._call(list(part), special=not bare[0])
            else:
                found += [self._call([text], special=not b)[0] for text, b in zip(part, bare, strict=True)]
        return found

    def _begins(self, text: str) -> bool:
        return bool(self._prefix_text) and text.startswith(self._prefix_text or "")

    def _call(self, texts: list[str], *, special: bool) -> list[list[int]]:
        ids: list[list[int]] = self.tokenizer(
            texts, add_special_tokens=special, return_attention_mask=False, return_token_type_ids=False
        )["input_ids"]
        return ids

    def pairs(self, requests: Sequence[Request]) -> list[tuple[list[int], list[list[int]]]]:
        """For each request the ids of its context and of each continuation.

        Raises EmptyContinuation for one of no tokens, naming the request.
        """
        cut = [_cut(request.context) for request in requests]
        contexts = self.encode([text for text, _ in cut if text])
        wholes = self.encode(
            [
                text + rest + end
                for (text, rest), r in zip(cut, requests, strict=True)
                if text
                for end in r.continuations
            ]
        )
        alone = self.encode(
            [
                rest + end
                for (text, rest), r in zip(cut, requests, strict=True)
                if not text
                for end in r.continuations
            ],
            special=False,
        )
        context_ids, whole_ids, alone_ids = iter(contexts), iter(wholes), iter(alone)
        found = []
        for (text, _), request in zip(cut, requests, strict=True):
            if text:
                start = next(context_ids)
                ends = [next(whole_ids)[len(start) :] for _ in request.continuations]
            else:
                start = [self.prefix_id] if isinstance(request.context, str) else list(request.context)
                ends = [next(alone_ids) for _ in request.continuations]
                if isinstance(request.context, str):
                    ends = [end[1:] if end[:1] == start else end for end in ends]
            _check(request, ends)
            found.append((start, ends))
        return found


def _cut(context: str | Sequence[int]) -> tuple[str, str]:
    if not isinstance(context, str):
        return "", ""
    text = context.rstrip()
    # A context of blanks alone cannot stand without them.
    return (text, context[len(text) :]) if text else ("", context)


def _check(request: Request, ends: list[list[int]]) -> None:
    for number, end in enumerate(ends):
        if not end:
            shown = request.continuations[number]
            raise EmptyContinuation(
                f'Choice {number} of sample {request.id or "?"} ("{shown}") is empty or adds no token to its '
                "context, so it has no likelihood. Mend the row, or the template of the choices.",
                data={"sample": request.id, "choice": number},
            )
