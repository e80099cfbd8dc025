"""Whether a model may have read a benchmark: items of which training texts hold long stretches.

Texts become words (Chinese characters one by one), and every run of six of them a number. An item is
flagged when one place of one document holds at least a quarter of its runs. Edits break only the runs
they touch: with every tenth word changed about half of the runs are left. Short rows are compared whole.

All in numpy, over pieces of a megabyte of many documents: tens of MB a second.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from llmos.core.errors import Unprocessable
from llmos.lab.evaluate.wordhash import RUN, WordHasher, Words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

SHARE = 0.25
# Fewer words than this make too few runs to tell a copy from a phrase.
FEWEST_WORDS = 12
FEWEST_HITS = 3
_PIECE_CHARS = 1 << 20
_NOT_TEXT = {"id", "source", "label", "labels", "answer", "choices", "tags", "url", "license", "licence"}


@dataclass(frozen=True)
class Flag:
    """An item found: `share` of its runs stand in `document` (1.0: all of it)."""

    item: str
    field: str
    share: float
    document: str


@dataclass
class Contamination:
    """`items` were looked for, of which `short` only as whole documents; `flags` has the worst of each."""

    items: int
    short: int
    flags: list[Flag] = field(default_factory=list)
    documents: int = 0
    size_bytes: int = 0
    seconds: float = 0.0

    @property
    def flagged(self) -> set[str]:
        return {flag.item for flag in self.flags}

    def to_json(self) -> dict[str, Any]:
        """JSON: counts, the share that is flagged, and every flag."""
        return {
            "items": self.items,
            "short": self.short,
            "documents": self.documents,
            "size_bytes": self.size_bytes,
            "seconds": round(self.seconds, 3),
            "share": len(self.flagged) / max(self.items, 1),
            "flags": [asdict(flag) for flag in self.flags],
        }


def check(
    items: Iterable[tuple[str, Mapping[str, Any]]],
    documents: Iterable[tuple[str, str]],
    *,
    fields: Sequence[str] | None = None,
) -> Contamination:
    """Look for the rows of a benchmark (id, row) in training texts (name, text).

    `fields` are the columns to look for; left out, every column of text but labels and sources, and the
    right one of the choices behind the question. Raises Unprocessable when no item has such a text.
    """
    started = time.perf_counter()
    search = _Search([(name, list(probes(row, fields))) for name, row in items])
    for number_of, text_of in _pieces(documents, search.found):
        search.look(number_of, text_of)
    search.found.seconds = time.perf_counter() - started
    return search.result()


def probes(row: Mapping[str, Any], fields: Sequence[str] | None = None) -> Iterator[tuple[str, str]]:
    """The texts of a row to look for, with the column each is from."""
    names = fields if fields is not None else [name for name in row if name.lower() not in _NOT_TEXT]
    for name in names:
        value = row.get(name)
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            value = " ".join(value)
        if isinstance(value, str) and value.strip():
            yield name, value
    choices, answer = row.get("choices"), row.get("answer")
    if fields is None and isinstance(choices, list) and isinstance(answer, int) and answer < len(choices):
        question = row.get("question")
        asked = question if isinstance(question, str) and "___" not in question else ""
        yield "choices", f"{asked} {choices[answer]}".strip()


def without(
    scores: Sequence[Mapping[str, float]], ids: Sequence[str], flagged: set[str], name: str, signature: str
) -> tuple[float, float | None]:
    """The figure over all samples, and over those not flagged (None where none is left)."""
    from llmos.records.aggregates import recompute

    rest = [row for row, sample in zip(scores, ids, strict=True) if sample not in flagged]
    return recompute(name, signature, scores), recompute(name, signature, rest) if rest else None


def _pieces(
    documents: Iterable[tuple[str, str]], found: Contamination
) -> Iterator[tuple[list[str], list[str]]]:
    """Names and texts of about a million characters; longer documents in parts that overlap."""
    names: list[str] = []
    texts: list[str] = []
    held = 0
    for name, text in documents:
        found.documents += 1
        found.size_bytes += len(text.encode("utf-8", "replace"))
        for at in range(0, max(len(text), 1), _PIECE_CHARS):
            part = text if len(text) <= _PIECE_CHARS else text[max(0, at - 2000) : at + _PIECE_CHARS]
            names.append(name)
            texts.append(part)
            held += len(part)
            if held >= _PIECE_CHARS:
                yield names, texts
                names, texts, held = [], [], 0
    if texts:
        yield names, texts


class _Search:
    """The runs of all items in one sorted table, and what was found of them."""

    def __init__(self, items: Sequence[tuple[str, list[tuple[str, str]]]]) -> None:
        import numpy as np

        self._hasher = WordHasher()
        every = [(name, column, text) for name, texts in items for column, text in texts]
        if not every:
            raise Unprocessable("fields: no item of the benchmark has text in them. Name columns with text.")
        self._names = [(name, column) for name, column, _ in every]
        words = self._hasher.words([text for _, _, text in every])
        counts = words.counts
        long_ones = np.flatnonzero(counts >= FEWEST_WORDS)
        runs, probe_of = words.runs()
        kept = np.isin(probe_of, long_ones)
        pairs = np.unique(np.stack([runs[kept], probe_of[kept].astype(np.uint64)], axis=1), axis=0)
        self._runs, self._probe_of = pairs[:, 0], pairs[:, 1].astype(np.int64)
        self._sizes = np.bincount(self._probe_of, minlength=len(every))
        self._lengths = counts
        self._filter = np.zeros(1 << 22, dtype=bool)
        self._filter[self._runs >> np.uint64(42)] = True
        whole = words.whole()
        self._whole: dict[int, list[int]] = {}
        for number, value in enumerate(whole.tolist()):
            if counts[number]:
                self._whole.setdefault(value, []).append(number)
        self._best: dict[int, tuple[float, str]] = {}
        checked = {every[number][0] for number in long_ones.tolist()}
        self.found = Contamination(items=len(items), short=sum(name not in checked for name, _ in items))

    def look(self, names: list[str], texts: list[str]) -> None:
        """Note what items these documents hold."""
        words = self._hasher.words(texts)
        for document, value in enumerate(words.whole().tolist()):
            for probe in self._whole.get(value, ()):
                if words.counts[document] == self._lengths[probe]:
                    self._note(probe, 1.0, names[document])
        self._look_for_runs(words, names)

    def _look_for_runs(self, words: Words, names: list[str]) -> None:
        import numpy as np

        runs, document_of = words.runs()
        near = np.flatnonzero(self._filter[runs >> np.uint64(42)])
        first = np.searchsorted(self._runs, runs[near], side="left")
        last = np.searchsorted(self._runs, runs[near], side="right")
        times = last - first
        near, first, times = near[times > 0], first[times > 0], times[times > 0]
        if not len(near):
            return
        places = np.repeat(near, times)
        offsets = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        entries = np.repeat(first, times) + offsets
        probe = self._probe_of[entries]
        pair = probe * len(names) + document_of[places]
        order = np.lexsort((places, pair))
        pair, places, entries = pair[order], places[order], entries[order]
        starts = np.flatnonzero(np.append(True, pair[1:] != pair[:-1]))
        ends = np.append(starts[1:], len(pair))
        needed = np.maximum(FEWEST_HITS, np.ceil(SHARE * self._sizes[pair[starts] // len(names)]))
        for at in np.flatnonzero(ends - starts >= needed).tolist():
            group = slice(int(starts[at]), int(ends[at]))
            number, document = divmod(int(pair[group.start]), len(names))
            hits = self._densest(places[group], entries[group], int(self._lengths[number]))
            if hits >= needed[at]:
                self._note(number, hits / float(self._sizes[number]), names[document])

    def _densest(self, places: Ints, entries: Ints, length: int) -> int:
        """The most different runs of the item within a stretch of one and a half times its length."""
        import numpy as np

        reach = int(1.5 * length) + RUN
        best = 0
        ends = np.searchsorted(places, places + reach, side="right")
        for start, end in enumerate(ends.tolist()):
            if end - start > best:
                best = max(best, len(np.unique(entries[start:end])))
        return best

    def _note(self, probe: int, share: float, document: str) -> None:
        if share > self._best.get(probe, (0.0, ""))[0]:
            self._best[probe] = (min(share, 1.0), document)

    def result(self) -> Contamination:
        """The worst flag of each item, in the order of the items."""
        worst: dict[str, Flag] = {}
        for probe in sorted(self._best):
            (name, column), (share, document) = self._names[probe], self._best[probe]
            if name not in worst or share > worst[name].share:
                worst[name] = Flag(name, column, round(share, 4), document)
        self.found.flags = list(worst.values())
        return self.found
