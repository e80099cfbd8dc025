"""Texts to token ids, as fast as `tokenizers` goes.

`tokenizers` shares the strings of a batch among the cores, never one string: so long texts are cut into
pieces of some 20 kB where no token can reach across, a thread encodes the next batch while this one is
written, and offsets are not asked for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

PIECE_CHARS = 20_000
BATCH_CHARS = 1_000_000
# Places no token reaches across in byte-level tokenizers with the patterns of GPT-2 or of Llama 3,
# best first: in front of a newline after a word, of a blank before a letter, of Chinese punctuation
# after a letter. The last resort, in front of any blank, may cost a token.
_CUTS = (
    re.compile(r"(?<=\w)(?=\n)"),
    re.compile(r"(?<=\S)(?= [^\W\d_])"),
    re.compile(r"(?<=[^\W\d_])(?=[。！？；，、])"),
    re.compile(r"(?<=\S)(?=\s)"),
)


def pieces(text: str) -> list[str]:
    """`text` cut into pieces of at most some 20,000 characters that encode as the whole would.

    A text that has neither blanks nor Chinese punctuation for so long is cut anywhere.
    """
    if len(text) <= PIECE_CHARS:
        return [text]
    out = []
    start = 0
    while len(text) - start > PIECE_CHARS:
        end = _cut(text, start)
        out.append(text[start:end])
        start = end
    return [*out, text[start:]]


def _cut(text: str, start: int) -> int:
    limit = start + PIECE_CHARS
    for pattern in _CUTS:
        found = [match.start() for match in pattern.finditer(text, limit - PIECE_CHARS // 4, limit)]
        if found:
            return found[-1]
    return limit


@contextmanager
def all_cores() -> Iterator[None]:
    """While this lasts `tokenizers` uses all cores; a run that forks later may have told it not to."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before


def iter_token_ids(
    texts: Iterable[str], tokenizer: Tokenizer, *, bos_id: int | None = None, eos_id: int | None = None
) -> Iterator[NDArray[np.uint32]]:
    """The token ids of each text in order, between `bos_id` and `eos_id` where given.

    The tokenizer's own template adds nothing.
    """
    with all_cores(), ThreadPoolExecutor(1) as pool:
        waiting: tuple[list[int], Future[list[Any]]] | None = None
        for batch in _batches(texts):
            counts = [len(parts) for parts in batch]
            flat = [part for parts in batch for part in parts]
            started = pool.submit(tokenizer.encode_batch_fast, flat, add_special_tokens=False)
            if waiting:
                yield from _joined(*waiting, bos_id, eos_id)
            waiting = (counts, started)
        if waiting:
            yield from _joined(*waiting, bos_id, eos_id)


def _batches(texts: Iterable[str]) -> Iterator[list[list[str]]]:
    batch: list[list[str]] = []
    size = 0
    for text in texts:
        batch.append(pieces(text))
        size += len(text)
        if size >= BATCH_CHARS or len(batch) >= 10_000:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _joined(
    counts: list[int], encoded: Future[list[Any]], bos_id: int | None, eos_id: int | None
) -> Iterator[NDArray[np.uint32]]:
    import numpy as np

    encodings = iter(encoded.result())
    before = [] if bos_id is None else [bos_id]
    after = [] if eos_id is None else [eos_id]
    for count in counts:
        ids = list(before)
        for _ in range(count):
            ids += next(encodings).ids
        ids += after
        yield np.array(ids, dtype=np.uint32)
