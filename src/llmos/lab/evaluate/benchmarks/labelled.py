"""Classification and tagging: labels that the corpora bear."""

from __future__ import annotations

from collections.abc import Callable

from llmos.lab.evaluate.benchmarks.base import (
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
)
from llmos.lab.evaluate.benchmarks.texts import clean_poems, passages, poem_key, speech_key

POETS = ("李白", "杜甫", "白居易", "李商隱")
GENRES = {"a": "news", "d": "religion", "h": "government", "j": "science", "l": "mystery", "p": "romance"}
CENTURIES = ((1790, 1850, "early"), (1950, 2030, "modern"))
# By the beginning of a Brown tag, the longest first: the twelve universal parts of speech.
_TAGS = {
    "abl": "DET", "abn": "DET", "abx": "DET", "at": "DET", "dt": "DET", "wdt": "DET",
    "ap": "ADJ", "jj": "ADJ", "od": "ADJ",
    "cd": "NUM",
    "cc": "CONJ", "cs": "CONJ",
    "in": "ADP",
    "nn": "NOUN", "np": "NOUN", "nr": "NOUN",
    "pn": "PRON", "pp": "PRON", "wp": "PRON", "ex": "PRON",
    "ql": "ADV", "rb": "ADV", "rn": "ADV", "wql": "ADV", "wrb": "ADV", "*": "ADV",
    "rp": "PRT", "to": "PRT",
    "be": "VERB", "do": "VERB", "hv": "VERB", "md": "VERB", "vb": "VERB",
    "uh": "X",
}  # fmt: skip
UNIVERSAL = ("ADJ", "ADP", "ADV", "CONJ", "DET", "NOUN", "NUM", "PRON", "PRT", "VERB", "X", ".")


def centuries(sources: Sources, counts: Counts, size: Size) -> Splits:
    """Passages of speeches held before 1850 or since 1950, as many of each."""

    def rows(speech: Row) -> Rows:
        label = next((name for low, high, name in CENTURIES if low <= speech["year"] < high), "")
        chosen = draw(passages(speech["text"], 120), str, "centuries")[: 4 if size == "small" else 20]
        return [{"text": text, "label": label} for text in chosen if label and len(text) < 400]

    labels = tuple(label for _, _, label in CENTURIES)
    return _of_documents(sources.rows("speeches"), speech_key, rows, labels, counts)


def spam(sources: Sources, counts: Counts, size: Size) -> Splits:
    """Mails with their beginning only, as many of each kind."""

    def rows(mail: Row) -> Rows:
        return [{"text": mail["text"][:2000], "label": mail["label"]}]

    return _of_documents(sources.rows("mails"), lambda mail: str(mail["text"]), rows, ("spam", "ham"), counts)


def poets(sources: Sources, counts: Counts, size: Size) -> Splits:
    """Poems by one of four poets, as many of each, title and poet left out."""
    poems = [
        poem
        for poem in clean_poems(sources.rows("poems"))
        if poem["author"] in POETS and 20 <= len("".join(poem["lines"])) <= 100
    ]

    def rows(poem: Row) -> Rows:
        return [{"text": poem_key(poem), "label": poem["author"]}]

    return _of_documents(poems, poem_key, rows, POETS, counts)


def _of_documents(
    documents: Rows,
    key: Callable[[Row], str],
    rows: Callable[[Row], Rows],
    labels: tuple[str, ...],
    counts: Counts,
) -> Splits:
    """Rows of each label in turn; no document gives rows to both splits, no row is nearly another."""
    every = [
        (is_of, row) for is_of, docs in enumerate(divided(documents, key)) for d in docs for row in rows(d)
    ]
    every = draw(every, lambda pair: str(pair[1]["text"]), "labelled")
    most = [max(1, 3 * count // len(labels)) for count in (counts.test, counts.train)]
    few: list[tuple[int, Row]] = []
    for is_of in (0, 1):
        for label in labels:
            few += [pair for pair in every if pair[0] == is_of and pair[1]["label"] == label][: most[is_of]]
    apart = unlike(few, lambda pair: str(pair[1]["text"]))
    made = []
    for is_of, (count, prefix) in enumerate(((counts.test, "test-"), (counts.train, "train-"))):
        groups = [[row for at, row in apart if at == is_of and row["label"] == label] for label in labels]
        made.append(numbered(alternated(groups, count), prefix))
    return splits(*made)


# The Brown corpus


def brown_genres(sources: Sources, counts: Counts, size: Size) -> Splits:
    """Five sentences in a row, as they stand; what is learnt from stands far before what is tested."""
    test: list[Rows] = []
    train: list[Rows] = []
    for letter, genre in GENRES.items():
        every = [row for row in sources.rows("brown") if row["genre"] == letter]
        groups = [every[at : at + 5] for at in range(0, len(every) - 5, 5)]
        made = [{"text": " ".join(row["text"] for row in group), "label": genre} for group in groups]
        made = unlike([row for row in made if len(row["text"]) < 1200], lambda row: str(row["text"]))
        border = len(made) * 4 // 5
        test.append(draw(made[border:], lambda row: str(row["text"]), "genres"))
        train.append(draw(made[: border - 20], lambda row: str(row["text"]), "genres"))
    return splits(
        numbered(alternated(test, counts.test), "test-"), numbered(alternated(train, counts.train), "train-")
    )


def brown_tags(sources: Sources, counts: Counts, size: Size) -> Splits:
    """Sentences of the Brown corpus with the twelve universal parts of speech."""
    longest = 24 if size == "small" else 60
    fit = [row for row in sources.rows("brown") if 6 <= len(row["tokens"]) <= longest]
    chosen = draw(fit, lambda row: str(row["text"]), "brown-tags")[: 3 * (counts.test + counts.train)]
    apart = unlike(chosen, lambda row: str(row["text"]))
    test, train = divided(apart, lambda row: str(row["text"]))
    made = []
    for group, count, prefix in ((test, counts.test, "test-"), (train, counts.train, "train-")):
        rows = [
            {"tokens": row["tokens"], "tags": [universal(tag) for tag in row["tags"]]}
            for row in group[:count]
        ]
        made.append(numbered(rows, prefix))
    return splits(*made)


def universal(tag: str) -> str:
    """The universal part of speech of a tag of the Brown corpus (its first, where a word bears two)."""
    if tag.startswith("fw-"):
        return "X"
    first = tag.partition("+")[0]
    base = first.partition("-")[0].removesuffix("$")
    if base == "" or not any(c.isalpha() or c == "*" for c in base):
        return "."
    for size in (3, 2, 1):
        if base[:size] in _TAGS:
            return _TAGS[base[:size]]
    return "X"
