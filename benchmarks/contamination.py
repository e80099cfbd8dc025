"""Contamination: planted copies of benchmark items found, others left alone, and how fast texts are read."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from benchmarks.report import Row

if TYPE_CHECKING:
    from benchmarks.bench import Bench

MB = 1_000_000
SPEED_BYTES = 20 * MB
PLANTED = 500
CLEAN = 3000

Item = tuple[str, dict[str, str]]


def contamination(bench: Bench) -> Iterator[Row]:
    """Items of English and of Chinese, half of them planted in other texts, to the letter and with every
    tenth word (character) replaced; false positives among items of the same authors that are not there."""
    from llmos.lab.evaluate.contamination import check

    for language, items, others, cut in (("English", *_english()), ("Chinese", *_chinese())):
        rng = random.Random(3)
        planted, clean = items[:PLANTED], items[PLANTED:]
        texts = list(others)
        for (_, row), at in zip(planted, rng.sample(range(len(texts)), len(planted)), strict=True):
            texts[at] = _inside(texts[at], row["text"])
        found = check(items, _named(texts))
        wanted = {name for name, _ in planted}
        recall, wrong = _shares(found.flagged, wanted, len(clean))
        about = f"{len(planted)} {language} items planted"
        yield Row(f"{about}, to the letter: found", f"{recall:.4f}", "0.99 wanted", recall, at_least=0.99)
        yield Row(f"{len(clean)} not planted: found", f"{wrong:.4f}", "0.001 allowed", wrong, at_most=0.001)
        texts = list(others)
        for (_, row), at in zip(planted, rng.sample(range(len(texts)), len(planted)), strict=True):
            texts[at] = _inside(texts[at], _edited(row["text"], cut, rng))
        found = check(items, _named(texts))
        recall, wrong = _shares(found.flagged, wanted, len(clean))
        yield Row(f"{about}, a tenth replaced: found", f"{recall:.4f}", "0.9 wanted", recall, at_least=0.9)
        yield Row(f"{len(clean)} not planted: found", f"{wrong:.4f}", "0.001 allowed", wrong, at_most=0.001)
        yield _speed(language, items, others)


def _speed(language: str, items: list[Item], others: list[str]) -> Row:
    from llmos.lab.evaluate.contamination import check

    size = sum(len(text.encode()) for text in others)
    texts = others * max(1, SPEED_BYTES // size)
    total = sum(len(text.encode()) for text in texts)
    started = time.process_time()
    check(items, _named(texts))
    speed = total / MB / (time.process_time() - started)
    return Row(f"{language} texts read, a core", f"{speed:.1f} MB/s", "10 MB/s wanted", speed, at_least=10)


def _shares(flagged: set[str], wanted: set[str], clean: int) -> tuple[float, float]:
    return len(flagged & wanted) / len(wanted), len(flagged - wanted) / clean


def _named(texts: list[str]) -> Iterator[tuple[str, str]]:
    return ((str(number), text) for number, text in enumerate(texts))


def _inside(text: str, other: str) -> str:
    middle = len(text) // 2
    return f"{text[:middle]} {other} {text[middle:]}"


def _edited(text: str, cut: Callable[[str], list[str]], rng: random.Random) -> str:
    """A tenth of the parts replaced by parts from elsewhere in the text."""
    parts = cut(text)
    for at in rng.sample(range(len(parts)), max(1, len(parts) // 10)):
        parts[at] = rng.choice(parts) + "x" if len(parts[at]) > 1 else rng.choice("天地玄黃宇宙洪荒")
    return (" " if cut is _words else "").join(parts)


def _words(text: str) -> list[str]:
    return text.split()


def _english() -> tuple[list[Item], list[str], Callable[[str], list[str]]]:
    """Passages of 30 to 60 words from every other speech, and the rest of the speeches to plant them in.

    Presidents quote each other: passages that share twelve words in a row with the rest are left out.
    """
    from llmos.lab.corpora import corpus
    from llmos.lab.evaluate.benchmarks.texts import passages

    lines = corpus("speeches").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    others = [part for text in texts[1::2] for part in passages(text, 5000)]
    there = {run for text in others for run in _twelves(text)}
    cut = [part for text in texts[::2] for part in passages(text, 220) if 30 <= len(part.split()) <= 60]
    fit = [part for part in cut if not any(run in there for run in _twelves(part))]
    chosen = random.Random(1).sample(fit, PLANTED + CLEAN)
    return [(f"en/{n}", {"text": part}) for n, part in enumerate(chosen)], others, _words


def _twelves(text: str) -> Iterator[int]:
    words = text.lower().split()
    return (hash(tuple(words[at : at + 12])) for at in range(len(words) - 11))


def _chinese() -> tuple[list[Item], list[str], Callable[[str], list[str]]]:
    """Poems of 24 characters or more, and others to plant them in.

    The collection holds many poems twice, in two readings: poems that share a line are left out.
    """
    from llmos.lab.corpora import corpus
    from llmos.lab.evaluate.benchmarks.texts import clean_poems, poem_key

    lines = corpus("poems").read_text(encoding="utf-8").splitlines()
    poems = [poem_key(poem) for poem in clean_poems(json.loads(line) for line in lines)]
    rng = random.Random(1)
    rng.shuffle(poems)
    half = len(poems) // 2
    rest = poems[half:]
    there = {line for poem in rest for line in _half_lines(poem)}
    fit = [p for p in poems[:half] if 24 <= len(p) <= 120 and there.isdisjoint(_half_lines(p))]
    items = [(f"zh/{n}", {"text": poem}) for n, poem in enumerate(fit[: PLANTED + CLEAN])]
    return items, ["\n".join(rest[at : at + 20]) for at in range(0, len(rest), 20)], list


def _half_lines(poem: str) -> list[str]:
    return [line for line in re.split("[，。\n]", poem) if line]
