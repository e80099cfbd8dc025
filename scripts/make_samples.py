"""Rewrite src/llmos/lab/samples from the corpora of `llmos.lab.corpora` (fetched when missing)."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

from babel.messages.pofile import read_po

from llmos.lab.corpora import corpus

ROOT = Path(__file__).parents[1]
OUT = ROOT / "src/llmos/lab/samples"
YEARS = (1790, 1801, 1825, 1862, 1863, 1905, 1936, 1941, 1961, 1965, 1984, 1996, 2010)
POETS = ("李白", "杜甫", "王維", "白居易", "李商隱", "孟浩然", "杜牧", "王昌齡")


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in corpus(name).read_text().splitlines()]


def write_rows(name: str, found: list[dict[str, Any]]) -> None:
    lines = (json.dumps(row, ensure_ascii=False) for row in found)
    (OUT / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def paragraphs(text: str, size: int = 500) -> list[str]:
    """Sentences in groups of some `size` characters."""
    out, held = [], ""
    for sentence in re.split(r"(?<=[.!?]) (?=[A-Z])", " ".join(text.split())):
        held = f"{held} {sentence}".strip()
        if len(held) > size:
            out.append(held)
            held = ""
    return out


def english(speeches: list[dict[str, Any]]) -> list[tuple[int, str]]:
    found = []
    for year in YEARS:
        speech = next(row for row in speeches if row["year"] == year)
        found += [(year, part) for part in paragraphs(speech["text"])[:13]]
    return found


def chinese(poems: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for poet in POETS:
        of_poet = [row for row in poems if row["author"] == poet and 40 < len(row["text"]) < 110]
        found += [row for row in of_poet if not re.search(r"[□\[\]{}()（）/？]", row["text"])][:55]
    return found


def centuries(speeches: list[dict[str, Any]], rng: random.Random) -> list[dict[str, Any]]:
    found = []
    for low, high, label in ((1790, 1880, "early"), (1930, 2020, "modern")):
        of_time = [row for row in speeches if low <= row["year"] < high]
        for speech in of_time:
            found += [
                {"text": part, "label": label} for part in rng.sample(paragraphs(speech["text"], 110), 2)
            ]
    rng.shuffle(found)
    return found[:160]


def pairs() -> list[dict[str, Any]]:
    with (ROOT / "src/llmos/infra/i18n/locales/zh/LC_MESSAGES/llmos.po").open("rb") as file:
        messages = [m for m in read_po(file, locale="zh") if m.id and isinstance(m.id, str)]
    found = [
        {"source": m.id, "target": m.string}
        for m in messages
        if 12 <= len(m.id) < 120 and m.string and not re.search(r"[%{<`]", m.id)
    ]
    return sorted(found, key=lambda row: row["source"])[::6]


def answers(question: str, context: str, answer: str) -> dict[str, Any]:
    return {
        "question": question,
        "context": context,
        "answers": {"text": [answer], "answer_start": [context.index(answer)]},
    }


def from_poems(poems: list[dict[str, Any]], rng: random.Random) -> None:
    """Questions, conversations, preferences and headings, all read off the same poems."""
    plain = [poem for poem in poems if len(poem["title"]) < 12 and "\n" in poem["text"]]
    chosen = rng.sample(plain, 120)
    questions, chats, preferences, headings = [], [], [], []
    for number, poem in enumerate(chosen):
        title, author, *lines = poem["text"].split("\n")
        body = "\n".join(lines)
        asked = [("這首詩的作者是誰？", author), ("這首詩的題目是什麼？", title)][number % 2]
        questions.append(answers(asked[0], f"{title}\n{author}\n{lines[0]}", asked[1]))
        chats.append(
            {
                "messages": [
                    {"role": "user", "content": f"請背誦{author}的《{title}》。"},
                    {"role": "assistant", "content": body},
                ]
            }
        )
        letters = list(body)
        rng.shuffle(letters)
        preferences.append(
            {
                "prompt": f"請背誦{author}的《{title}》。",
                "chosen": body,
                "rejected": "".join(letters).replace("\n", ""),
            }
        )
        headings.append({"text": body, "summary": title})
    write_rows("questions.jsonl", questions[:60])
    write_rows("chat.jsonl", chats[:48])
    write_rows("preferences.jsonl", preferences[:40])
    write_rows("headings.jsonl", headings[:64])


def tagged(speeches: list[dict[str, Any]], rng: random.Random) -> list[dict[str, Any]]:
    """Words of sentences with a number in them; years, other numbers and sums of money by rule."""
    found = []
    for speech in speeches:
        for sentence in paragraphs(speech["text"], 60):
            words = re.findall(r"\$?\d[\d,.]*\d|\d|\w+|[^\w\s]", sentence)
            tags = [_tag(word) for word in words]
            if 8 < len(words) < 32 and set(tags) != {"O"}:
                found.append({"tokens": words, "tags": tags})
    return rng.sample(found, 80)


def _tag(word: str) -> str:
    if word.startswith("$") and len(word) > 1:
        return "MONEY"
    if re.fullmatch(r"1[5-9]\d\d|20\d\d", word):
        return "YEAR"
    return "NUMBER" if word[:1].isdigit() else "O"


def main() -> None:
    OUT.mkdir(exist_ok=True)
    rng = random.Random(7)
    speeches, poems = rows("speeches"), rows("poems")
    (OUT / "english.txt").write_text("\n\n".join(text for _, text in english(speeches)) + "\n")
    sample = chinese(poems)
    (OUT / "chinese.txt").write_text("\n\n".join(poem["text"] for poem in sample) + "\n")
    write_rows("centuries.jsonl", centuries(speeches, rng))
    write_rows("pairs.jsonl", pairs())
    from_poems(sample, rng)
    write_rows("tags.jsonl", tagged(speeches, rng))
    for path in sorted(OUT.glob("*.[jt]*")):
        print(f"{path.stat().st_size:8} {path.name}")


if __name__ == "__main__":
    main()
