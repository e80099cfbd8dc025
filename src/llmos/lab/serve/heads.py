"""Tasks of models with a head: labels for texts and for words, answers in a passage, a word in a gap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from llmos.lab.serve.errors import CallError, not_a_number
from llmos.lab.serve.loading import Loaded

Record = dict[str, Any]


class Heads:
    """Answers in the shapes of the Hub's inference API, which `huggingface_hub.InferenceClient` reads."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        names = loaded.model.config.id2label or {}
        self.labels = [str(names[number]) for number in sorted(names)]

    def classify(self, text: str, parameters: Record) -> list[list[Record]]:
        """`top_k` labels (all of them), likeliest first. Source: text-classification of the API."""
        logits = self._logits(text, "inputs")[0]
        chances = _to_chances(logits, parameters.get("function_to_apply"), self.model.config).tolist()
        found = [{"label": label, "score": score} for label, score in zip(self.labels, chances, strict=True)]
        found.sort(key=lambda one: -one["score"])
        return [found[: number_of(parameters, "top_k", len(found))]]

    @property
    def entailment(self) -> int | None:
        """Which label says that one text follows from another."""
        for number, label in enumerate(self.labels):
            if label.lower().startswith("entail"):
                return number
        return None

    def zero_shot(self, text: str, parameters: Record) -> list[Record]:
        """How well each of `candidate_labels` fits. Source: zero-shot-classification of the API."""
        entails = self.entailment
        if entails is None:
            raise CallError(
                "zero-shot-classification needs a model that was taught whether a text follows from "
                f"another (a label `entailment`), and this one's labels are "
                f"{', '.join(self.labels[:6]) or 'none'}.",
                code="task_not_supported",
                param="task",
            )
        labels = parameters.get("candidate_labels")
        if not isinstance(labels, list) or not labels or not all(isinstance(x, str) for x in labels):
            raise CallError("candidate_labels: give a list of words.", param="parameters.candidate_labels")
        pattern = str(parameters.get("hypothesis_template") or "This example is {}.")
        logits = torch.stack([self._logits(text, "inputs", pattern.replace("{}", x))[0] for x in labels])
        against = next((n for n, x in enumerate(self.labels) if x.lower().startswith("contra")), None)
        if parameters.get("multi_label") or len(labels) == 1:
            other = against if against is not None else (0 if entails else len(self.labels) - 1)
            scores = torch.softmax(logits[:, [other, entails]], dim=-1)[:, 1].tolist()
        else:
            scores = torch.softmax(logits[:, entails], dim=0).tolist()
        found = [{"label": label, "score": score} for label, score in zip(labels, scores, strict=True)]
        return sorted(found, key=lambda one: -float(str(one["score"])))

    def fill(self, text: str, parameters: Record) -> list[Any]:
        """`top_k` words (5) for each gap; a list of lists where there are several. Source: fill-mask."""
        mask = self.tokenizer.mask_token_id
        encoded = self._encode(text, "inputs")
        ids = encoded["input_ids"][0].tolist()
        gaps = [place for place, token in enumerate(ids) if token == mask]
        if not gaps:
            raise CallError(
                f"inputs has no {self.tokenizer.mask_token}: write it where a word is to be found.",
                code="no_mask_token",
                param="inputs",
            )
        chances = torch.softmax(self.forward(encoded).logits[0].float(), dim=-1)
        wanted = self._targets(parameters.get("targets"))
        found = [self._words(ids, gap, chances[gap], wanted, parameters) for gap in gaps]
        return found[0] if len(found) == 1 else found

    def _words(
        self, ids: list[int], gap: int, chances: Tensor, wanted: list[int] | None, parameters: Record
    ) -> list[Record]:
        count = number_of(parameters, "top_k", 5)
        pool = torch.tensor(wanted) if wanted else torch.arange(len(chances))
        best = torch.topk(chances[pool], min(count, len(pool)))
        found = []
        for score, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            token = int(pool[place])
            filled = [*ids[:gap], token, *ids[gap + 1 :]]
            found.append(
                {
                    "score": score,
                    "token": token,
                    "token_str": self.tokenizer.decode([token]),
                    "sequence": self.tokenizer.decode(filled, skip_special_tokens=True),
                }
            )
        return found

    def _targets(self, targets: Any) -> list[int] | None:
        if targets is None:
            return None
        words = [targets] if isinstance(targets, str) else targets
        found = []
        for word in words if isinstance(words, list) else ():
            ids = self.tokenizer(str(word), add_special_tokens=False)["input_ids"]
            if ids:
                found.append(ids[0])
        if not found:
            raise CallError("targets: give a list of words.", param="parameters.targets")
        return found

    def tag(self, text: str, parameters: Record) -> list[Record]:
        """Labelled parts of a text. Source: token-classification of the API."""
        way = str(parameters.get("aggregation_strategy") or "simple")
        if way not in ("none", "simple", "first", "average", "max"):
            raise CallError(
                f"aggregation_strategy {way!r} is none of none, simple, first, average, max.",
                param="parameters.aggregation_strategy",
            )
        skipped = parameters.get("ignore_labels")
        skipped = set(map(str, skipped)) if isinstance(skipped, list) else {"O"}
        encoded = self._encode(text, "inputs", offsets=True)
        spans, words = encoded.pop("offset_mapping")[0].tolist(), encoded.pop("words")
        chances = torch.softmax(self.forward(encoded).logits[0].float(), dim=-1)
        pieces = [
            (start, end, words[place], chances[place])
            for place, (start, end) in enumerate(spans)
            if end > start
        ]
        if way == "none":
            return [
                {"entity": label, "score": score, "start": start, "end": end, "word": text[start:end]}
                for start, end, _, row in pieces
                for label, score in [self._best(row)]
                if label not in skipped
            ]
        if way != "simple":
            pieces = _by_word(pieces, way)
        return self._groups(text, pieces, skipped)

    def _best(self, row: Tensor) -> tuple[str, float]:
        score, number = row.max(dim=-1)
        return self.labels[int(number)], float(score)

    def _groups(
        self, text: str, pieces: Sequence[tuple[int, int, Any, Tensor]], skipped: set[str]
    ) -> list[Record]:
        """Neighbours of one kind together, unless the second says that it begins anew."""
        groups: list[Record] = []
        last: list[float] = []
        for start, end, _, row in pieces:
            label, score = self._best(row)
            kind = label[2:] if label[:2] in ("B-", "I-") else label
            before = groups[-1] if groups else None
            if before is not None and before["entity_group"] == kind and not label.startswith("B-"):
                last.append(score)
                before["end"] = end
            else:
                last = [score]
                groups.append({"entity_group": kind, "start": start, "end": end})
            groups[-1]["score"] = sum(last) / len(last)
            groups[-1]["word"] = text[groups[-1]["start"] : end].strip()
        return [group for group in groups if group["entity_group"] not in skipped]

    # What all share

    def _logits(self, text: str, field: str, pair: str | None = None) -> Tensor:
        return checked(self.forward(self._encode(text, field, pair=pair)).logits.float())

    def _encode(
        self, text: Any, field: str, *, pair: str | None = None, offsets: bool = False
    ) -> dict[str, Any]:
        if not isinstance(text, str) or not text.strip():
            raise CallError(f"{field}: give a text that is not empty.", param=field)
        found = self.tokenizer(text, pair, return_offsets_mapping=offsets, return_tensors="pt")
        length = found["input_ids"].shape[1]
        if length > self.loaded.context_tokens:
            raise CallError(
                f"{field} has {length} tokens and this model reads {self.loaded.context_tokens} at once. "
                "Shorten it.",
                code="context_length_exceeded",
                param=field,
                data={"prompt_tokens": length, "context_tokens": self.loaded.context_tokens},
            )
        plain = dict(found)
        if offsets:
            plain["words"] = found.word_ids(0)
        return plain

    @torch.inference_mode()
    def forward(self, encoded: dict[str, Any]) -> Any:
        return self.model(**{key: value.to(self.model.device) for key, value in encoded.items()})


def _by_word(pieces: list[tuple[int, int, Any, Tensor]], way: str) -> list[tuple[int, int, Any, Tensor]]:
    """A word's pieces as one: its first piece decides, the surest, or their mean."""
    words: list[list[tuple[int, int, Any, Tensor]]] = []
    for piece in pieces:
        if words and piece[2] is not None and words[-1][-1][2] == piece[2]:
            words[-1].append(piece)
        else:
            words.append([piece])
    found = []
    for parts in words:
        rows = torch.stack([part[3] for part in parts])
        if way == "first":
            row = rows[0]
        elif way == "max":
            row = rows[int(rows.max(dim=-1).values.argmax())]
        else:
            row = rows.mean(dim=0)
        found.append((parts[0][0], parts[-1][1], parts[0][2], row))
    return found


def _to_chances(logits: Tensor, way: Any, config: Any) -> Tensor:
    several = config.problem_type == "multi_label_classification" or len(logits) == 1
    way = way or ("none" if config.problem_type == "regression" else "sigmoid" if several else "softmax")
    if way == "softmax":
        return torch.softmax(logits, dim=-1)
    if way == "sigmoid":
        return torch.sigmoid(logits)
    if way == "none":
        return logits
    raise CallError(
        f"function_to_apply {way!r} is none of softmax, sigmoid, none.", param="parameters.function_to_apply"
    )


def number_of(parameters: Record, name: str, otherwise: int) -> int:
    value = parameters.get(name)
    if value is None:
        return otherwise
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CallError(f"{name} must be a whole number from 1 on.", param=f"parameters.{name}")
    return value


def checked(logits: Tensor) -> Tensor:
    if not bool(torch.isfinite(logits).all()):
        raise not_a_number()
    return logits
