"""Tokenising and packing, beside `tokenizers` alone on the same text, pieces and cores."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import Row

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

    from benchmarks.bench import Bench

MB = 1_000_000
TEXT_BYTES = 4 * MB
ROUNDS = 3


def real_text() -> list[str]:
    """Speeches and poems from the corpora, where they can be fetched; else the samples over and over."""
    from llmos.core.errors import LlmosError
    from llmos.lab.corpora import corpus
    from llmos.lab.samples import sample

    try:
        names = [corpus("speeches"), corpus("poems")]
    except (LlmosError, OSError):
        small = [sample(name).read_text(encoding="utf-8") for name in ("english.txt", "chinese.txt")]
        return small * (TEXT_BYTES // sum(len(text.encode()) for text in small))
    texts: list[str] = []
    for path in names:
        size = 0
        with path.open(encoding="utf-8") as file:
            for line in file:
                texts.append(json.loads(line)["text"])
                size += len(texts[-1].encode())
                if size > TEXT_BYTES / 2:
                    break
    return texts


def tokenise(bench: Bench) -> Iterator[Row]:
    """Documents to a packed token cache on disk, beside the two ways of `tokenizers` to encode pieces of
    20 kB: `encode_batch`, and `encode_batch_fast`, which leaves offsets out as we do."""
    from llmos.lab.recipes.schema import TrainTokenizer
    from llmos.lab.tokenizers.train import fast_of, train

    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    texts = real_text()
    size = sum(len(text.encode()) for text in texts)
    tokenizer = fast_of(train(TrainTokenizer(type="bpe", vocab_size=8192), texts[::20]))
    pieces = [text[start : start + 20_000] for text in texts for start in range(0, len(text), 20_000)]
    ours: list[float] = []
    theirs: dict[str, list[float]] = {"encode_batch": [], "encode_batch_fast": []}
    for number in range(ROUNDS):
        for name, taken in theirs.items():
            taken.append(_batches(getattr(tokenizer, name), pieces))
        ours.append(_packed(tokenizer, texts, bench.scratch / f"tokens-{number}"))
    mine = size / MB / min(ours)
    for name, taken in theirs.items():
        other = size / MB / min(taken)
        yield Row(f"tokenise and pack / {name}", f"{mine:.2f} MB/s", f"{other:.2f} MB/s", mine / other, 0.8)


def _batches(encode: Callable[[list[str]], list[Encoding]], pieces: list[str]) -> float:
    started = time.perf_counter()
    tokens = 0
    for at in range(0, len(pieces), 1000):
        tokens += sum(len(found) for found in encode(pieces[at : at + 1000]))
    assert tokens
    return time.perf_counter() - started


def _packed(tokenizer: Tokenizer, texts: list[str], folder: Path) -> float:
    from llmos.lab.data.encode import iter_token_ids
    from llmos.lab.data.packing import pack

    started = time.perf_counter()
    ids = iter_token_ids(texts, tokenizer, eos_id=1)
    rows = pack(ids, 256, folder, vocab_size=tokenizer.get_vocab_size())
    assert len(rows) > 1
    took = time.perf_counter() - started
    shutil.rmtree(folder)
    return took
