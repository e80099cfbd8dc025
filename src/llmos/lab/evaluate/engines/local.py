"""A causal model in this process: exact, and not computing twice what questions share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

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
from llmos.lab.evaluate.engines.decoding import Decoder
from llmos.lab.evaluate.engines.double import Double
from llmos.lab.evaluate.engines.encode import Encoder
from llmos.lab.evaluate.engines.forward import (
    LOGITS,
    TOKENS,
    Cell,
    Prefix,
    Read,
    Tree,
    can_share,
    grow,
    lengths_matter,
    plain,
    read,
)
from llmos.lab.evaluate.engines.grouping import alike, batches, windows
from llmos.lab.evaluate.engines.loading import load_model, load_tokenizer, max_length_of
from llmos.lab.models.build import count_parameters


@dataclass(frozen=True)
class _Branch:
    """Continuation `number` of request `request`, and the context it follows."""

    request: int
    number: int
    context: Sequence[int]
    tokens: Sequence[int]
    truncated: bool = False


class LocalEngine:
    """Scores and generates with a transformers model in `folder`.

    On processors in single precision its log-probabilities move by less than 1e-4 with batch size and
    number of threads. `truncate` False refuses texts longer than the context with TooLong, True cuts
    contexts at their beginning and says so on the answer. Raises EngineError for a model without a
    tokenizer or of another kind.
    """

    def __init__(
        self,
        folder: Path,
        *,
        dtype: str = "auto",
        device: str = "auto",
        batch_size: int = 0,
        truncate: bool = True,
        max_length: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.model = load_model(folder, dtype=dtype, device=device)
        self.encoder = Encoder(self.tokenizer)
        self.max_length = max_length or max_length_of(self.model, self.tokenizer)
        self.batch_size = batch_size or 16
        self.truncate = truncate
        self.tokens = 0
        self.truncated = 0
        self._vocabulary = self.model.get_output_embeddings().weight.shape[0]
        self._progress = progress or (lambda done: None)
        self._sharing = can_share(self.model)
        self._plain_size = 1 if lengths_matter(self.model) else self.batch_size
        self._prefix: Prefix | None = None
        self._double = Double(self.model)

    def facts(self) -> Facts:
        return Facts(
            engine="llmos-local/1",
            dtype=str(self.model.dtype).removeprefix("torch."),
            device=str(self.model.device),
            parameters=count_parameters(self.model)[0],
            max_length=self.max_length,
            chat_template=self.tokenizer.get_chat_template() if self.tokenizer.chat_template else None,
            notes=[]
            if self._sharing
            else [f"{self.model.config.model_type}: nothing is shared between rows"],
        )

    def close(self) -> None:
        self._prefix = None
        self._double = Double(self.model)

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """The messages as the model's chat template writes them, up to where its answer begins."""
        if not self.tokenizer.chat_template:
            raise EngineError(
                "The model has no chat template. Set chat_template: false to ask it as plain text, or put "
                "a chat_template.jinja beside its tokenizer."
            )
        is_begun = bool(messages) and messages[-1]["role"] == "assistant"
        text: str = self.tokenizer.apply_chat_template(
            list(messages),
            tokenize=False,
            add_generation_prompt=not is_begun,
            continue_final_message=is_begun,
        )
        return text

    # Likelihoods

    def loglikelihoods(self, requests: Sequence[Request]) -> list[list[Score]]:
        """Raises EmptyContinuation, TooLong and NotANumber, naming the request."""
        return self._score(requests, self._read_shared if self._sharing else self._read_plain)

    def settle(self, requests: Sequence[Request]) -> list[list[Score]] | None:
        """In double precision, one row at a time, to eight digits: the same on every machine."""
        if not self._double.is_possible:
            return None
        found = self._score(requests, self._read_double)
        return [
            [Score(round(s.logprob, 8), s.is_greedy, s.tokens, False, s.truncated) for s in row]
            for row in found
        ]

    def _score(
        self, requests: Sequence[Request], reader: Callable[[list[_Branch]], list[list[Read]]]
    ) -> list[list[Score]]:
        branches: list[_Branch] = []
        for number, (context, ends) in enumerate(self.encoder.pairs(requests)):
            fitted = [self._fit(requests[number], context, end) for end in ends]
            branches += [
                _Branch(number, n, ids, end, len(ids) < len(context))
                for n, (ids, end) in enumerate(zip(fitted, ends, strict=True))
            ]
        try:
            reads = reader(branches)
        except NotANumber as error:
            first, last = requests[0].id or "0", requests[-1].id or str(len(requests) - 1)
            raise NotANumber(f"{error.message} Found between the samples {first} and {last}.") from error
        found: list[list[Score]] = [[] for _ in requests]
        for branch, tokens in zip(branches, reads, strict=True):
            greedy = all(token.is_greedy for token in tokens)
            near = any(t.near for t in tokens) and all(t.is_greedy or t.near for t in tokens)
            logprob = sum(token.logprob for token in tokens)
            found[branch.request].append(Score(logprob, greedy, len(tokens), near, branch.truncated))
        self.truncated += sum(any(score.truncated for score in row) for row in found)
        return found

    def _fit(self, request: Request, context: list[int], end: list[int]) -> Sequence[int]:
        """As much of the end of `context` as fits before `end`, whose last token is not read."""
        room = self.max_length + 1 - len(end)
        if len(context) <= room:
            return context
        if room < 1:
            raise TooLong(
                f"An answer of sample {request.id or '?'} has {len(end)} tokens and the model reads "
                f"{self.max_length} at once: it has no likelihood. Shorten the row, or take another model."
            )
        if not self.truncate:
            raise TooLong(
                f"Sample {request.id or '?'} has {len(context) + len(end)} tokens and the model reads "
                f"{self.max_length} at once. Ask for fewer few-shot examples, or set "
                "context_policy: truncate_left, which cuts at the beginning and counts it.",
                data={"sample": request.id, "tokens": len(context) + len(end), "max": self.max_length},
            )
        return context[-room:]

    def _read_shared(self, branches: list[_Branch]) -> list[list[Read]]:
        """Branches of the same context grow on one row, rows that begin alike on one prefix."""
        stems: dict[tuple[int, ...], list[int]] = {}
        for number, branch in enumerate(branches):
            stems.setdefault(tuple(branch.context), []).append(number)
        rows = [
            (stem, part) for stem, numbers in stems.items() for part in self._parts(stem, numbers, branches)
        ]
        found: list[list[Read]] = [[] for _ in branches]
        for shared, group in alike([stem for stem, _ in rows]):
            prefix = self._access_prefix(rows[group[0]][0][:shared])
            grown = [
                (Tree(rows[n][0][shared:], [branches[b].tokens for b in rows[n][1]]), rows[n][1])
                for n in group
            ]
            for batch in batches(
                grown,
                size=self.batch_size,
                width=lambda row: row[0].width,
                most=partial(_most_rows, shared),
            ):
                self._grow(prefix, batch, found)
        return found

    def _parts(self, stem: Sequence[int], numbers: list[int], branches: list[_Branch]) -> list[list[int]]:
        """Branches cut into rows that are not much longer than the model's context."""
        parts: list[list[int]] = [[]]
        room = most = max(self.max_length, 256)
        for number in numbers:
            length = len(branches[number].tokens) - 1
            if parts[-1] and length > room:
                parts.append([])
                room = most
            parts[-1].append(number)
            room -= length
        return parts

    def _grow(self, prefix: Prefix, batch: list[tuple[Tree, list[int]]], found: list[list[Read]]) -> None:
        keep = max(tree.tail for tree, _ in batch)
        most = max(1, LOGITS // (keep * self._vocabulary))
        for start in range(0, len(batch), most):
            part = batch[start : start + most]
            for of_row, (tree, numbers) in zip(
                grow(self.model, prefix, [tree for tree, _ in part]), part, strict=True
            ):
                self.tokens += tree.width
                for number, reads in zip(numbers, of_row, strict=True):
                    found[number] = reads
                self._progress(len(numbers))

    def _access_prefix(self, ids: Sequence[int]) -> Prefix:
        if self._prefix is None or self._prefix.ids != tuple(ids):
            self._prefix = Prefix(self.model, ids)
            self.tokens += len(ids)
        return self._prefix

    def _read_plain(self, branches: list[_Branch]) -> list[list[Read]]:
        rows = [([*b.context, *b.tokens[:-1]], len(b.context) - 1, b.tokens) for b in branches]
        return self._read_rows(self.model, rows, self._plain_size)

    def _read_double(self, branches: list[_Branch]) -> list[list[Read]]:
        rows = [([*b.context, *b.tokens[:-1]], len(b.context) - 1, b.tokens) for b in branches]
        return self._read_rows(self._double.model, rows, 1)

    def _read_rows(
        self, model: Any, rows: Sequence[tuple[list[int], int, Sequence[int]]], size: int
    ) -> list[list[Read]]:
        """Of rows (ids, column that predicts the first wanted token, wanted tokens)."""
        found: list[list[Read]] = [[] for _ in rows]
        for batch in batches(
            range(len(rows)), size=size, width=lambda n: len(rows[n][0]), most=lambda width: TOKENS // width
        ):
            pieces = [batch]
            columns = max(len(rows[n][0]) for n in batch) - min(rows[n][1] for n in batch)
            if len(batch) * columns * self._vocabulary > LOGITS:
                pieces = [[number] for number in batch]
            for piece in pieces:
                first = min(rows[n][1] for n in piece)
                logits = plain(model, [rows[n][0] for n in piece], first)
                cells = [
                    [Cell(row, rows[n][1] - first + k, token) for k, token in enumerate(rows[n][2])]
                    for row, n in enumerate(piece)
                ]
                reads = iter(read(logits, [cell for of_row in cells for cell in of_row]))
                for of_row, number in zip(cells, piece, strict=True):
                    found[number] = [next(reads) for _ in of_row]
                    self.tokens += len(rows[number][0])
                self._progress(len(piece))
        return found

    # Whole texts

    def rolling(self, texts: Sequence[str], *, overlap: bool = True) -> list[Rolling]:
        """Each text by itself, each of its tokens scored once.

        What does not fit into the context is read in windows: with `overlap` each begins half a context
        earlier than the tokens it scores, without it one token earlier, as lm-evaluation-harness does.
        Raises TooLong instead where nothing may be cut.
        """
        rows, owners, counts = [], [], []
        for number, ids in enumerate(self.encoder.encode(texts)):
            if len(ids) > self.max_length and not self.truncate:
                raise TooLong(
                    f"Text {number} has {len(ids)} tokens and the model reads {self.max_length} at once. Set "
                    "context_policy: stride to read it in windows."
                )
            found = windows(ids, self.encoder.prefix_id, self.max_length, overlap=overlap)
            rows += found
            owners += [number] * len(found)
            unknown = self.tokenizer.unk_token_id
            counts.append((len(ids), len(found), 0 if unknown is None else ids.count(unknown)))
        sums = [0.0] * len(texts)
        for owner, reads in zip(owners, self._read_rows(self.model, rows, self._plain_size), strict=True):
            sums[owner] += sum(token.logprob for token in reads)
        return [
            Rolling(total, tokens, len(text.encode()), len(text), parts, unknown)
            for text, total, (tokens, parts, unknown) in zip(texts, sums, counts, strict=True)
        ]

    # Generation

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generated]:
        decoder = Decoder(
            self.model,
            self._double,
            self.encoder,
            self.max_length,
            self.batch_size,
            truncate=self.truncate,
            sharing=self._sharing,
        )
        found = decoder.generate(requests, self._progress)
        self.tokens += decoder.tokens
        self.truncated += sum(answer.truncated for answer in found)
        return found


def _most_rows(shared: int, width: int) -> int:
    """Rows at a time; `shared` tokens before each cost a quarter of its own."""
    return TOKENS // (width + shared // 4 + 1)
