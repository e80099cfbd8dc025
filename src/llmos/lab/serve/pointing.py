"""The part of a passage that answers a question."""

from __future__ import annotations

from typing import Any

import torch

from llmos.lab.serve.errors import CallError
from llmos.lab.serve.heads import Heads, Record, checked, number_of

_LONGEST_ANSWER = 15


class Pointer:
    """Reads long passages in windows that overlap."""

    def __init__(self, heads: Heads) -> None:
        self._heads = heads

    def point(self, inputs: Any, parameters: Record) -> Any:
        """The part of a passage that answers; a list where `top_k` > 1. Source: question-answering."""
        question = inputs.get("question") if isinstance(inputs, dict) else None
        passage = inputs.get("context") if isinstance(inputs, dict) else None
        if not isinstance(question, str) or not isinstance(passage, str) or not question or not passage:
            raise CallError("inputs: give {question, context}, both texts.", param="inputs")
        longest = self._heads.loaded.context_tokens
        asked = len(self._heads.tokenizer(question)["input_ids"])
        if asked + 8 > longest:
            raise CallError(
                f"The question has {asked} tokens and this model reads {longest} at once.",
                code="context_length_exceeded",
                param="inputs.question",
            )
        windows = self._heads.tokenizer(
            question,
            passage,
            truncation="only_second",
            max_length=longest,
            stride=min(number_of(parameters, "doc_stride", 128), (longest - asked) // 2),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        count = number_of(parameters, "top_k", 1)
        most = number_of(parameters, "max_answer_len", _LONGEST_ANSWER)
        found: list[Record] = []
        for number in range(len(windows["input_ids"])):
            found += self._answers(windows, number, passage, count, most)
        found.sort(key=lambda one: -one["score"])
        unique = list({(one["start"], one["end"]): one for one in reversed(found)}.values())[::-1]
        unique.sort(key=lambda one: -one["score"])
        return unique[:count] if count > 1 else unique[0]

    def _answers(self, windows: Any, number: int, passage: str, count: int, most: int) -> list[Record]:
        keys = [key for key in ("input_ids", "attention_mask", "token_type_ids") if key in windows]
        made = self._heads.forward({key: torch.tensor([windows[key][number]]) for key in keys})
        inside = torch.tensor([who == 1 for who in windows.sequence_ids(number)])
        starts, ends = (
            torch.softmax(checked(x[0].float()).masked_fill(~inside, -1e30), dim=-1)
            for x in (made.start_logits.cpu(), made.end_logits.cpu())
        )
        scores = torch.tril(torch.triu(starts[:, None] * ends[None, :]), diagonal=most - 1)
        best = torch.topk(scores.flatten(), min(count, scores.numel()))
        found = []
        for score, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            spans = windows["offset_mapping"][number]
            start, end = spans[place // len(ends)][0], spans[place % len(ends)][1]
            found.append({"answer": passage[start:end], "score": score, "start": start, "end": end})
        return found
