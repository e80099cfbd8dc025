"""Models that do not continue text: classifiers, taggers, those that point at an answer, and writers of
one text from another (encoder and decoder)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llmos.lab.evaluate.engines.base import (
    EngineError,
    Facts,
    Generated,
    GenerateRequest,
    NotANumber,
    Request,
    Rolling,
    Score,
    TooLong,
)
from llmos.lab.evaluate.engines.loading import load_model, load_tokenizer, max_length_of
from llmos.lab.models.build import count_parameters
from llmos.lab.models.positions import longest_row

# An answer of more tokens is none that was asked for.
_LONGEST_ANSWER = 30
# Decimals kept of a score: rounding differs with the size of a batch, decisions must not.
_DECIMALS = 4


class _Loaded:
    """What all of them share: model, tokenizer, how much fits."""

    def __init__(
        self, folder: Path, kind: str, dtype: str, device: str, batch_size: int, truncate: bool
    ) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.model = load_model(folder, dtype=dtype, device=device, kind=kind)
        self.max_length = max_length_of(self.model, self.tokenizer)
        self.max_length = min(self.max_length, longest_row(self.model) or self.max_length)
        self.batch_size = batch_size or 16
        self.truncate = truncate
        self.tokens = 0

    def facts(self) -> Facts:
        return Facts(
            engine="llmos-heads/1",
            dtype=str(self.model.dtype).removeprefix("torch."),
            device=str(self.model.device),
            parameters=count_parameters(self.model)[0],
            max_length=self.max_length,
        )

    def close(self) -> None:
        self.model = None

    def settle(self, requests: Sequence[Request]) -> None:
        return None

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        raise EngineError("chat_template: this model has no chat; leave it out.")

    def loglikelihoods(self, requests: Sequence[Request]) -> list[list[Score]]:
        raise EngineError("This model gives no likelihoods of text; the task needs one that continues text.")

    def rolling(self, texts: Sequence[str], *, overlap: bool = True) -> list[Rolling]:
        raise EngineError(
            "This model gives no likelihoods of text; perplexity needs one that continues text."
        )

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generated]:
        raise EngineError("This model writes no text; the task needs one that does.")

    def fits(self, length: int, name: str) -> bool:
        """Whether a text fits. Raises TooLong where it does not and may not be cut."""
        if length > self.max_length and not self.truncate:
            raise TooLong(
                f"Sample {name} has {length} tokens and the model reads {self.max_length} at once. Set "
                "context_policy: truncate_left to cut it and count that."
            )
        return length <= self.max_length

    @torch.inference_mode()
    def forward(self, inputs: Sequence[dict[str, list[int]]]) -> Any:
        """One padded batch."""
        batch = self.tokenizer.pad(list(inputs), padding=True, return_tensors="pt").to(self.model.device)
        self.tokens += int(batch["attention_mask"].sum())
        return self.model(**batch)

    def in_batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Numbers of inputs, those of like length together."""
        order = sorted(range(len(lengths)), key=lambda number: -lengths[number])
        return [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]


class HeadEngine(_Loaded):
    """A model with a head, trained by this lab or elsewhere; `architecture` is of its configuration."""

    def __init__(
        self,
        folder: Path,
        architecture: str,
        *,
        dtype: str = "auto",
        device: str = "auto",
        batch_size: int = 0,
        truncate: bool = True,
    ) -> None:
        head = architecture[architecture.rindex("For") :]
        super().__init__(folder, f"AutoModel{head}", dtype, device, batch_size, truncate)
        self.head = head.removeprefix("For")
        if not self.tokenizer.is_fast:
            raise EngineError("A model with a head needs a fast tokenizer (tokenizer.json).")

    @property
    def labels(self) -> list[str]:
        found = self.model.config.id2label
        return [str(found[number]) for number in range(len(found))]

    def classify(self, texts: Sequence[str], names: Sequence[str]) -> list[tuple[list[float], bool]]:
        """Log-probabilities of `labels` for each text, and whether it was cut (at its beginning)."""
        self._check("SequenceClassification")
        self.tokenizer.truncation_side = "left"
        found: list[tuple[list[float], bool]] = [([], False)] * len(texts)
        whole = [self.tokenizer(text) for text in texts]
        cut = [not self.fits(len(w["input_ids"]), n) for w, n in zip(whole, names, strict=True)]
        inputs = [
            dict(self.tokenizer(text, truncation=True, max_length=self.max_length)) if is_cut else dict(w)
            for text, w, is_cut in zip(texts, whole, cut, strict=True)
        ]
        for numbers in self.in_batches([len(x["input_ids"]) for x in inputs]):
            logits = _checked(self.forward([inputs[n] for n in numbers]).logits)
            logprobs = torch.log_softmax(logits, dim=-1).round(decimals=_DECIMALS)
            for number, row in zip(numbers, logprobs.tolist(), strict=True):
                found[number] = (row, cut[number])
        return found

    def tag(self, sentences: Sequence[Sequence[str]], names: Sequence[str]) -> list[tuple[list[str], bool]]:
        """A label for each word, by its first token; words that do not fit get "O", or the first label."""
        self._check("TokenClassification")
        found: list[tuple[list[str], bool]] = [([], False)] * len(sentences)
        encoded = []
        for words, name in zip(sentences, names, strict=True):
            one = self.tokenizer(list(words), is_split_into_words=True)
            is_cut = not self.fits(len(one["input_ids"]), name)
            if is_cut:
                one = self.tokenizer(
                    list(words), is_split_into_words=True, truncation=True, max_length=self.max_length
                )
            encoded.append((one, is_cut))
        labels = self.labels
        nothing = "O" if "O" in labels else labels[0]
        for numbers in self.in_batches([len(one["input_ids"]) for one, _ in encoded]):
            logits = _checked(self.forward([dict(encoded[n][0]) for n in numbers]).logits)
            best = logits.round(decimals=_DECIMALS).argmax(dim=-1).tolist()
            for number, row in zip(numbers, best, strict=True):
                tags = [nothing] * len(sentences[number])
                before = None
                for place, word in enumerate(encoded[number][0].word_ids()):
                    if word is not None and word != before:
                        tags[word] = labels[row[place]]
                    before = word
                found[number] = (tags, encoded[number][1])
        return found

    def point(
        self, questions: Sequence[str], passages: Sequence[str], names: Sequence[str]
    ) -> list[tuple[str, bool]]:
        """The part of each passage that answers best. Long ones are read in overlapping windows."""
        self._check("QuestionAnswering")
        best: list[tuple[float, str]] = [(-float("inf"), "")] * len(questions)
        windows: list[tuple[int, dict[str, list[int]], Any]] = []
        cut = []
        for number, (question, passage) in enumerate(zip(questions, passages, strict=True)):
            one = self.tokenizer(
                question,
                passage,
                truncation="only_second",
                max_length=self.max_length,
                stride=min(128, self.max_length // 4),
                return_overflowing_tokens=True,
                return_offsets_mapping=True,
            )
            parts = len(one["input_ids"])
            self.fits(self.max_length + parts - 1, names[number])
            cut.append(parts > 1)
            keep = [key for key in ("input_ids", "attention_mask", "token_type_ids") if key in one]
            for part in range(parts):
                places = [
                    span if who == 1 else None
                    for span, who in zip(one["offset_mapping"][part], one.sequence_ids(part), strict=True)
                ]
                windows.append((number, {key: one[key][part] for key in keep}, places))
        for numbers in self.in_batches([len(window[1]["input_ids"]) for window in windows]):
            output = self.forward([windows[n][1] for n in numbers])
            starts, ends = _checked(output.start_logits), _checked(output.end_logits)
            for row, n in enumerate(numbers):
                owner, _, places = windows[n]
                score, span = _best_span(starts[row].tolist(), ends[row].tolist(), places)
                if score > best[owner][0]:
                    best[owner] = (score, passages[owner][span[0] : span[1]])
        return [(text, is_cut) for (_, text), is_cut in zip(best, cut, strict=True)]

    def _check(self, head: str) -> None:
        if self.head != head:
            raise EngineError(f"The task needs a model for {head}, and this one is for {self.head}.")


class SeqToSeqEngine(_Loaded):
    """A model that writes one text from another. Greedy, unless a temperature is asked for."""

    def __init__(
        self,
        folder: Path,
        *,
        dtype: str = "auto",
        device: str = "auto",
        batch_size: int = 0,
        truncate: bool = True,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__(folder, "AutoModelForSeq2SeqLM", dtype, device, batch_size, truncate)
        self._progress = progress

    @torch.inference_mode()
    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generated]:
        """One text at a time, so that none depends on those beside it."""
        found = []
        for request in requests:
            ids = self.tokenizer(str(request.prompt))["input_ids"]
            is_cut = not self.fits(len(ids), request.id)
            if is_cut:
                self.tokenizer.truncation_side = "left"
                ids = self.tokenizer(str(request.prompt), truncation=True, max_length=self.max_length)[
                    "input_ids"
                ]
            torch.manual_seed(request.seed)
            sampling = {"do_sample": True, "temperature": request.temperature} if request.temperature else {}
            made = self.model.generate(
                input_ids=torch.tensor([ids], device=self.model.device),
                max_new_tokens=request.max_new_tokens,
                num_beams=1,
                **(sampling or {"do_sample": False}),
            )[0]
            self.tokens += len(ids) + len(made)
            text: str = self.tokenizer.decode(made, skip_special_tokens=True)
            cuts = [text.find(stop) for stop in request.stop if stop and stop in text]
            found.append(Generated(text[: min(cuts)] if cuts else text, len(made), is_cut))
        return found


def _best_span(
    starts: list[float], ends: list[float], places: Sequence[Any]
) -> tuple[float, tuple[int, int]]:
    best, span = -float("inf"), (0, 0)
    for begin, place in enumerate(places):
        if place is None:
            continue
        for end in range(begin, min(begin + _LONGEST_ANSWER, len(places))):
            if places[end] is None:
                break
            score = round(starts[begin] + ends[end], _DECIMALS)
            if score > best:
                best, span = score, (place[0], places[end][1])
    return best, span


def _checked(logits: Tensor) -> Tensor:
    if not bool(torch.isfinite(logits).all()):
        raise NotANumber("The model's logits are not numbers (NaN or infinite): its weights are damaged.")
    return logits.double()
