"""llama.cpp reads GGUF files as they are: packed weights, many texts in one forward.

Only its forward is used (by its Python binding, llama-cpp-python). Words, chats, sampling, grammars and
scores are ours, so an answer is asked for and told as with any other engine.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llmos.lab.serve.errors import CannotServe
from llmos.lab.serve.gguf import gguf_numbers
from llmos.lab.serve.rows import Row, Step, common_length
from llmos.wire.serving_memory import token_bytes

# Room kept behind a text that begins, so that it is not put back at once.
_RESERVE = 32


def has_llama() -> bool:
    """Whether llama-cpp-python is there; else transformers reads GGUF itself."""
    return importlib.util.find_spec("llama_cpp") is not None


class LlamaModel:
    """A GGUF file, mapped into memory; `begin` before anything is read. Raises CannotServe."""

    def __init__(self, file: Path) -> None:
        import llama_cpp  # type: ignore[import-not-found]

        gguf_numbers(file)
        lib: Any = llama_cpp
        self._lib = lib
        # It tells its life to stderr, line by line.
        self._quiet = lib.llama_log_callback(lambda level, text, data: None)
        lib.llama_log_set(self._quiet, ctypes.c_void_p(0))
        lib.llama_backend_init()
        self._model = lib.llama_model_load_from_file(str(file).encode(), lib.llama_model_default_params())
        if not self._model:
            raise CannotServe(f"llama.cpp cannot read {file.name}.", code="bad_weights")
        self.vocabulary = int(lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self._model)))
        self.parameters = int(lib.llama_model_n_params(self._model))
        self.longest = int(lib.llama_model_n_ctx_train(self._model))
        # A token in the cache, of half precision.
        self.cell_bytes = token_bytes(
            layers=lib.llama_model_n_layer(self._model),
            heads=lib.llama_model_n_head_kv(self._model),
            head_size=lib.llama_model_n_embd(self._model) // max(lib.llama_model_n_head(self._model), 1),
            number_bytes=2,
        )

    def begin(self, *, streams: int, cells: int, most_tokens: int, threads: int) -> None:
        """Make a cache of `cells` tokens for `streams` texts. Raises CannotServe."""
        lib = self._lib
        fields = lib.llama_context_default_params()
        fields.n_ctx, fields.n_seq_max, fields.kv_unified = cells, streams, True
        fields.n_batch = fields.n_ubatch = most_tokens
        fields.n_threads = fields.n_threads_batch = threads
        self._context = lib.llama_init_from_model(self._model, fields)
        if not self._context:
            raise CannotServe(f"No memory for a cache of {cells} tokens.", code="out_of_memory", status=507)
        self._memory = lib.llama_get_memory(self._context)
        self._batch = lib.llama_batch_init(most_tokens, 0, 1)

    def read(self, tokens: list[tuple[int, int, int, bool]]) -> Tensor:
        """Logits [wanted, vocabulary] of (token, place, text, whether its logits are wanted)."""
        batch = self._batch
        batch.n_tokens = len(tokens)
        for n, (token, place, text, is_wanted) in enumerate(tokens):
            batch.token[n], batch.pos[n] = token, place
            batch.n_seq_id[n], batch.seq_id[n][0] = 1, text
            batch.logits[n] = is_wanted
        code = self._lib.llama_decode(self._context, batch)
        if code:
            raise RuntimeError(f"llama.cpp could not go on (llama_decode: {code})")
        wanted = [n for n, (_, _, _, is_wanted) in enumerate(tokens) if is_wanted]
        found = np.empty((len(wanted), self.vocabulary), dtype=np.float32)
        for place, n in enumerate(wanted):
            pointer = self._lib.llama_get_logits_ith(self._context, n)
            found[place] = np.ctypeslib.as_array(pointer, shape=(self.vocabulary,))
        return torch.from_numpy(found)

    def forget(self, text: int, since: int = 0) -> None:
        """Drop what a text has read from a place on."""
        self._lib.llama_memory_seq_rm(self._memory, text, since, -1)

    def share(self, source: int, target: int, tokens: int) -> None:
        """Both have read the first tokens of the source from now on."""
        self._lib.llama_memory_seq_cp(self._memory, source, target, 0, tokens)


class LlamaBatch:
    """Offers what `batch.Batch` offers: texts that grow together, each in a sequence of its own."""

    def __init__(self, model: LlamaModel, *, streams: int, cells: int, most_tokens: int) -> None:
        self.model, self.streams, self.cells, self.most_tokens = model, streams, cells, most_tokens
        self.vocabulary = model.vocabulary
        self.waiting: deque[Row] = deque()
        self.rows: list[Row] = []
        self._places: dict[int, int] = {}
        # What lies in sequences that nobody uses, the one used last at the end.
        self._kept: dict[int, list[int]] = {number: [] for number in range(streams)}

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
            place = self._places.pop(id(row))
            if spoilt:
                self.model.forget(place)
            self._kept[place] = [] if spoilt else row.ids[: row.read]
        elif row in self.waiting:
            self.waiting.remove(row)

    def read_prompts(self) -> Step | None:
        """A part of the oldest text that is not yet read to its end."""
        row = next((row for row in self.rows if not row.was_started), None) or self._admit()
        if row is None:
            return None
        first, place = row.read, self._places[id(row)]
        part = row.ids[first : first + self.most_tokens]
        if not self._make_room(len(part), row):
            return None
        is_done = first + len(part) == len(row.ids)
        last = len(part) - 1
        logits = self.model.read(
            [(token, first + n, place, row.whole or n == last) for n, token in enumerate(part)]
        )
        row.read += len(part)
        row.was_started = is_done
        if row.whole:
            return Step([row] if is_done else [], logits, row, first)
        return Step([row], logits[-1:]) if is_done else None

    def grow(self) -> Step | None:
        """A token more for every row that has one to read."""
        rows = [row for row in self.rows if row.was_started and row.read < len(row.ids)][: self.most_tokens]
        if not rows or not self._make_room(len(rows), rows[0]):
            return None
        rows = [row for row in rows if row in self.rows]
        logits = self.model.read([(row.ids[-1], row.read, self._places[id(row)], True) for row in rows])
        for row in rows:
            row.read += 1
        return Step(rows, logits)

    def _admit(self) -> Row | None:
        if not self.waiting or not self._kept:
            return None
        row = self.waiting[0]
        used = sum(len(other.ids) for other in self.rows)
        if self.rows and used + len(row.ids) + _RESERVE > self.cells:
            return None
        self.waiting.popleft()
        place, common = self._likest(row)
        self._kept.pop(place)
        self.model.forget(place, common)
        row.read = row.cached = common
        self.rows.append(row)
        self._places[id(row)] = place
        return row

    def _likest(self, row: Row) -> tuple[int, int]:
        """The free sequence that begins most like this text, and with how many tokens."""
        place, best = next(iter(self._kept)), 0
        if row.whole:
            return place, 0
        for number, ids in self._kept.items():
            common = common_length(row.ids, ids)
            if common > best:
                place, best = number, common
        # The last token is read anew: its logits are wanted.
        return place, min(best, len(row.ids) - 1)

    def _make_room(self, tokens: int, row: Row) -> bool:
        """Cells for so many more tokens; False where `row` itself had to make room."""
        while self._used() + tokens > self.cells:
            kept = next((number for number, ids in self._kept.items() if ids), None)
            if kept is not None:
                self.model.forget(kept)
                self._kept[kept] = []
                continue
            youngest = self.rows[-1]
            if len(self.rows) == 1:
                return True
            self.end(youngest)
            youngest.is_live, youngest.was_started, youngest.read = True, False, 0
            self.waiting.appendleft(youngest)
        return row in self.rows

    def _used(self) -> int:
        return sum(row.read for row in self.rows) + sum(len(ids) for ids in self._kept.values())
