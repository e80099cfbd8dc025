"""Language modelling and cloze: what comes next in a text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from llmos.lab.evaluate.benchmarks.base import (
    CHOICES,
    Counts,
    Row,
    Rows,
    Size,
    Sources,
    Splits,
    alternated,
    divided,
    draw,
    numbered,
    splits,
    unlike,
    with_choices,
)
from llmos.lab.evaluate.benchmarks.texts import (
    clean_poems,
    is_regular,
    passages,
    poem_key,
    sentences,
    speech_key,
)

_PLAIN = re.compile(r"[A-Z][A-Za-z ,;'’\-]+[.!?]")
_WORD = re.compile(r"(?<![\w'’-])[a-z]{5,12}(?![\w'’-])")
# How often a word stands in the speeches, at least, to be asked for.
_RAREST = 8
_ENDINGS = ("ing", "ed", "tion", "ly", "ment", "ity", "ous", "s")


def english_text(sources: Sources, counts: Counts, size: Size) -> Splits:
    """One passage of each speech, then a second of each, and so on."""
    test, train = divided(sources.rows("speeches"), speech_key)
    return splits(
        numbered(_speech_passages(test, counts.test), "test-"),
        numbered(_speech_passages(train, counts.train), "train-"),
    )


def _speech_passages(speeches: Rows, count: int) -> Rows:
    found: Rows = []
    for turn in range(8):
        for speech in draw(speeches, speech_key, "english-text"):
            parts = passages(speech["text"], 450)
            if len(parts) > turn:
                part = draw(parts, str, "english-text")[turn]
                if len(part) < 900:
                    found.append({"text": part, "source": f"{speech['speaker']}, {speech['year']}"})
    return unlike(found, lambda row: str(row["text"]))[:count]


def chinese_text(sources: Sources, counts: Counts, size: Size) -> Splits:
    poems = [p for p in clean_poems(sources.rows("poems")) if 40 <= len("".join(p["lines"])) <= 130]
    made = []
    for number, group in enumerate(divided(draw(poems, poem_key, "chinese-text"), poem_key)):
        count = (counts.test, counts.train)[number]
        chosen = unlike(group[: count * 2], poem_key)[:count]
        rows = [{"text": poem_key(p), "source": f"{p['author']}《{p['title']}》"} for p in chosen]
        made.append(numbered(rows, ("test-", "train-")[number]))
    return splits(*made)


# Cloze


def english_cloze(sources: Sources, counts: Counts, size: Size) -> Splits:
    """The next sentence out of four of the same speech."""
    test, train = divided(sources.rows("speeches"), speech_key)
    return splits(_next_sentences(test, counts.test, "test-"), _next_sentences(train, counts.train, "train-"))


def _next_sentences(speeches: Rows, count: int, prefix: str) -> Rows:
    longest = 110
    found: Rows = []
    texts = {speech_key(speech): sentences(speech["text"]) for speech in speeches}
    for turn in range(6):
        for speech in draw(speeches, speech_key, "english-cloze"):
            every = texts[speech_key(speech)]
            fit = [n for n, text in enumerate(every) if 40 <= len(text) <= longest]
            places = [n for n in fit if n >= 1 and 30 <= len(every[n - 1]) <= 160]
            if len(places) <= turn or len(fit) < 10:
                continue
            at = draw(places, str, "english-cloze")[turn]
            others = [every[n] for n in fit if abs(n - at) > 4 and every[n] != every[at]]
            if len(set(others)) < CHOICES - 1 or len(found) == 2 * count:
                continue
            found.append(
                {
                    "question": every[at - 1],
                    "wanted": every[at],
                    "others": sorted(set(others)),
                    "source": f"{speech['speaker']}, {speech['year']}",
                }
            )
    return _asked(unlike(found, lambda row: row["question"] + row["wanted"])[:count], prefix)


def english_words(sources: Sources, counts: Counts, size: Size) -> Splits:
    """A sentence of a speech with one of its words, and with three others of like form and frequency."""
    speeches = sources.rows("speeches")
    used = Counter(word for speech in speeches for word in _WORD.findall(speech["text"]))
    alike: dict[str, list[str]] = {}
    for word in sorted(used):
        if used[word] >= _RAREST:
            alike.setdefault(_form(word), []).append(word)
    test, train = divided(speeches, speech_key)
    return splits(
        _missing_words(test, used, alike, counts.test, "test-"),
        _missing_words(train, used, alike, counts.train, "train-"),
    )


def _missing_words(
    speeches: Rows, used: Counter[str], alike: dict[str, list[str]], count: int, prefix: str
) -> Rows:
    found: Rows = []
    fit = {}
    for speech in speeches:
        every = [text for text in sentences(speech["text"]) if 60 <= len(text) <= 110]
        every = [text for text in every if _PLAIN.fullmatch(text)]
        fit[speech_key(speech)] = draw(every, str, "english-words")
    for turn in range(6):
        for speech in draw(speeches, speech_key, "english-words"):
            every = fit[speech_key(speech)]
            row = _one_word(every[turn], used, alike) if len(every) > turn else None
            if row and len(found) < 2 * count:
                found.append({**row, "source": f"{speech['speaker']}, {speech['year']}"})
    return _asked(unlike(found, lambda row: str(row["wanted"]))[:count], prefix)


def _one_word(text: str, used: Counter[str], alike: dict[str, list[str]]) -> Row | None:
    """The sentence whole and with other words in one place; None if it has no word to leave out."""
    words = Counter(_WORD.findall(text))
    fit = [word for word, times in words.items() if times == 1 and used[word] >= _RAREST]
    if not fit:
        return None
    word = draw(fit, str, text)[0]
    others = [
        other
        for other in alike[_form(word)]
        if other not in text and used[word] <= 2 * used[other] <= 4 * used[word]
    ]
    if len(others) < CHOICES - 1:
        return None
    before, after = re.split(rf"(?<![\w'’-]){word}(?![\w'’-])", text, maxsplit=1)
    chosen = draw(others, str, text)[: CHOICES - 1]
    return {
        "question": f"{before}___{after}",
        "wanted": text,
        "others": [before + other + after for other in chosen],
    }


def _form(word: str) -> str:
    return next((ending for ending in _ENDINGS if word.endswith(ending)), "")


def tang_cloze(sources: Sources, counts: Counts, size: Size) -> Splits:
    """The next couplet out of four; the others stand at the same place in poems of the same metre."""
    poems = [
        poem
        for poem in clean_poems(sources.rows("poems"))
        if 2 <= len(poem["lines"]) <= 4 and all(is_regular(line) for line in poem["lines"])
    ]
    test, train = divided(draw(poems, poem_key, "tang-cloze"), poem_key)
    return splits(_next_lines(test, counts.test, "test-"), _next_lines(train, counts.train, "train-"))


def _next_lines(poems: Rows, count: int, prefix: str) -> Rows:
    groups: list[Rows] = []
    for length in (12, 16):
        of_metre = [poem for poem in poems if len(poem["lines"][0]) == length]
        chosen = unlike(of_metre[:count], lambda poem: "".join(poem["lines"][:2]))
        seconds = draw(sorted({poem["lines"][1] for poem in of_metre[: 6 * count]}), str, "tang-cloze")
        rows = []
        for at, poem in enumerate(chosen):
            first, second = poem["lines"][:2]
            turned = seconds[3 * at % len(seconds) :] + seconds[: 3 * at % len(seconds)]
            others = [line for line in turned[: CHOICES + 1] if line != second][: CHOICES - 1]
            source = f"{poem['author']}《{poem['title']}》"
            if len(others) == CHOICES - 1:
                rows.append({"question": first, "wanted": second, "others": others, "source": source})
        groups.append(rows)
    return _asked(alternated(groups, count), prefix)


def _asked(rows: Sequence[Row], prefix: str) -> Rows:
    made = [
        {
            "question": row["question"],
            **with_choices(row["wanted"], row["others"], number, row["wanted"]),
            "source": row["source"],
        }
        for number, row in enumerate(rows)
    ]
    return numbered(made, prefix)
