"""One pass over all sources of a recipe: read, clean, leave out copies, hold out a part, write."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from llmos.lab.data.clean import Cleaning, normalise, refusal
from llmos.lab.data.dedup import Deduplicator
from llmos.lab.data.errors import DataError
from llmos.lab.data.examples import Example, choose_columns, cut_end, draw, example_of, example_text
from llmos.lab.data.language import language_of
from llmos.lab.data.readers import TEXT_SUFFIXES, file_format, iter_rows
from llmos.lab.data.sources import Opened
from llmos.lab.data.statistics import Statistics
from llmos.lab.recipes.schema import PRETRAINING, Data

# Told now and then: documents read, bytes read (of a compressed file: at most its size), bytes in all.
Progress = Callable[[int, int, int], None]
Files = Mapping[str, IO[bytes]]

# Of a longer text for pre-training the end is held out: a book is too much to hold out whole. Where
# there are but a few files of text, each a document, the end of each is: they may differ in language.
LONG_CHARS = 200_000
LONG_OF_FEW_CHARS = 2000
_FEW_FILES = 40
_TELL_EVERY = 200
_TELL_EVERY_BYTES = 1_000_000


class _Full(Exception):
    """Enough was read."""


class Reader:
    """One pass over all sources."""

    def __init__(self, data: Data, objective: str, progress: Progress | None) -> None:
        options = data.cleaning
        self.data, self.objective, self.progress = data, objective, progress
        self.is_text = objective in PRETRAINING
        self.cleaning = Cleaning(options.form, options.min_chars, options.max_repeated, options.keep_spaces)
        self.copies = Deduplicator(options.dedup)
        self.languages = frozenset(options.languages)
        self.statistics = Statistics()
        self.bytes_done = self.bytes_all = self.bytes_told = 0
        self.held_out = 0.0
        self.long_chars = LONG_CHARS
        self.last = b""
        self.last_held = b""
        self.last_copies = 0

    def run(self, out: Files, sources: list[Opened], validation: list[Opened]) -> None:
        self.bytes_all = sum(f.size_bytes for opened in sources + validation for f in opened.files)
        self.held_out = 1.0
        for opened in validation:
            self._read(opened, out)
        self.held_out = 0.0 if validation else self.data.held_out
        if sum(len(opened.files) for opened in sources) <= _FEW_FILES and all(map(_is_prose, sources)):
            self.long_chars = LONG_OF_FEW_CHARS
        try:
            for opened in sources:
                self._read(opened, out)
        except _Full:
            pass
        self._keep_one(out)
        self._hold_one_out(out)
        if self.progress:
            self.progress(self.statistics.read, self.bytes_all, self.bytes_all)

    def _read(self, opened: Opened, out: Files) -> None:
        source = opened.source
        for file in opened.files:
            columns: dict[str, str] | None = None
            path = file.fetch()
            end = self.bytes_done + file.size_bytes
            for row in iter_rows(path, unit=source.unit, encoding=source.encoding):
                if columns is None:
                    columns = choose_columns(self.objective, row, self.data, source, file.name)
                example = example_of(row, columns, file.name)
                if self.progress:
                    self._tell(example, end)
                self._take(example, source.weight, out)
            if columns is None:
                raise DataError(f"{file.name} has no rows. Remove it from data, or fill it.")
            self.bytes_done = end

    def _tell(self, example: Example, end: int) -> None:
        """Say how far this is; what stands between the texts of a file is counted at its `end`."""
        assert self.progress is not None
        size = len(example_text(example).encode("utf-8", "replace"))
        self.bytes_done = min(self.bytes_done + size, end)
        if self.statistics.read % _TELL_EVERY == 0 or self.bytes_done - self.bytes_told >= _TELL_EVERY_BYTES:
            self.bytes_told = self.bytes_done
            self.progress(self.statistics.read, self.bytes_done, self.bytes_all)

    def _take(self, example: Example, weight: float, out: Files) -> None:
        statistics = self.statistics
        statistics.read += 1
        if self.is_text:
            example = {"text": normalise(str(example["text"] or ""), self.cleaning)}
        text = example_text(example)
        language = language_of(text)
        reason = refusal(text, self.cleaning) or self._unwanted(language) or self.copies.copy_of(text)
        if reason:
            statistics.dropped[reason] += 1
            return
        statistics.languages[language] += 1
        self._put(example, text, weight, out)
        limit = self.data.max_documents
        if (limit and statistics.train >= limit) or statistics.chars >= (self.data.max_chars or 1 << 62):
            raise _Full

    def _unwanted(self, language: str) -> str | None:
        return f"language {language}" if self.languages and language not in self.languages else None

    def _put(self, example: Example, text: str, weight: float, out: Files) -> None:
        held, copies = draw(text)
        if self.is_text and 0 < self.held_out < 1 and len(text) > self.long_chars:
            head, tail = cut_end(text, self.held_out)
            self._write({"text": tail}, tail, "validation", 1, out)
            example, text = {"text": head}, head
        elif held < self.held_out:
            self._write(example, text, "validation", 1, out)
            return
        times = int(weight) + (copies < weight % 1)
        self._write(example, text, "train", times, out)

    def _write(self, example: Example, text: str, part: str, times: int, out: Files) -> None:
        line = json.dumps(example, ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n"
        if part == "train" and times:
            self.last, self.last_copies = line, times
        elif part == "validation":
            self.last_held = line
        out[part].write(line * times)
        self.statistics.count(text, validation=part == "validation", copies=times)

    def _keep_one(self, out: Files) -> None:
        """Of few examples chance may hold out all: then the last one is learnt from."""
        statistics = self.statistics
        if statistics.train or not 0 < self.held_out < 1 or not self.last_held:
            return
        out["validation"].truncate(out["validation"].tell() - len(self.last_held))
        out["validation"].seek(0, 2)
        example = json.loads(self.last_held)
        text = example_text(example)
        statistics.validation -= 1
        statistics.validation_bytes -= len(text.encode("utf-8", "replace"))
        self._write(example, text, "train", 1, out)

    def _hold_one_out(self, out: Files) -> None:
        """Of few examples chance may hold out none: then the last one is, or the end of the only text."""
        statistics = self.statistics
        few = statistics.train - self.last_copies < 1
        if not self.held_out or statistics.validation or not self.last or (few and not self.is_text):
            return
        out["train"].truncate(out["train"].tell() - len(self.last) * self.last_copies)
        out["train"].seek(0, 2)
        example, copies = json.loads(self.last), self.last_copies
        text = example_text(example)
        statistics.count(text, validation=False, copies=-copies)
        if few:
            head, text = cut_end(text, self.held_out)
            self._write({"text": head}, head, "train", copies, out)
            example = {"text": text}
        self._write(example, text, "validation", 1, out)


def _is_prose(opened: Opened) -> bool:
    """Whether each file of a source is one document."""
    kinds = {file_format(Path(file.name)) for file in opened.files}
    return opened.source.unit == "document" and kinds <= set(TEXT_SUFFIXES)
