"""What a run tells of its data: tokens, fertility, coverage, and how far reading is."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer

from llmos.lab import pace
from llmos.lab.__main__ import main as lab
from llmos.lab.data.loader import load
from llmos.lab.data.statistics import count_words
from llmos.lab.events import Reporter
from llmos.lab.recipes.load import load_recipe
from llmos.lab.tokenizers import describe
from llmos.lab.tokenizers.specials import specials_of
from llmos.lab.tokenizers.train import train_fast

RECIPE = """
objective: {objective}
data:
  max_chars: {chars}
  sources:
{sources}
model: {{preset: nano}}
training: {{max_steps: 1, sequence_length: 64, batch_tokens: 256, threads: 1}}
evaluation: {{samples: 0, max_examples: 2}}
"""


def written(folder: Path, objective: str, *files: str, chars: int = 60_000) -> Path:
    sources = "\n".join(f"    - {{files: ['{name}'], unit: paragraph}}" for name in files)
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(objective=objective, chars=chars, sources=sources), encoding="utf-8")
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLMOS_LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run(recipe: Path, *words: str) -> Path:
    output = recipe.parent / "out"
    assert lab(["run", str(recipe), "--output", str(output), *words]) == 0
    return output


def test_a_run_tells_what_its_tokenizer_makes_of_the_texts(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = written(tmp_path, "clm", "sample:chinese.txt", "sample:english.txt", chars=120_000)
    output = run(recipe)
    found = json.loads((output / "metrics.json").read_text())["data"]["spelling"]
    corpus = load(load_recipe(recipe).data, "clm", cache=cache, base=tmp_path)
    texts = list(corpus.texts())
    tokenizer = AutoTokenizer.from_pretrained(str(output))
    ids = [tokenizer(text)["input_ids"] for text in texts]
    inner = sum(map(len, ids))
    # Each document lies between two tokens, which spell nothing.
    assert (found["documents"], found["tokens"]) == (len(texts), inner + 2 * len(texts))
    assert found["fertility"] == pytest.approx(inner / sum(map(count_words, texts)))
    assert found["bytes_per_token"] == pytest.approx(sum(len(t.encode()) for t in texts) / inner)
    used = {token for text in ids for token in text} | {tokenizer.eos_token_id}
    assert found["vocabulary_coverage"] == len(used) / len(tokenizer)
    assert (found["unknown_share"], found["is_sample"]) == (0, False)
    assert found["languages"]["zh"]["bytes_per_token"] != found["languages"]["en"]["bytes_per_token"]
    told = next(line for line in capsys.readouterr().out.splitlines() if "tokens a word" in line)
    assert told.startswith(f"{len(texts):,} documents are {found['tokens']:,} tokens; ")
    assert f"{found['fertility']:.2f} tokens a word; {found['bytes_per_token']:.2f} bytes a token" in told
    assert "0.00% unknown" in told
    card = (output / "README.md").read_text()
    assert f"{found['fertility']:.2f} a word (a Chinese character is one)" in card
    each = [f"{name} {one['bytes_per_token']:.2f}" for name, one in found["languages"].items()]
    assert f"Bytes a token by language: {', '.join(each)}." in card


def test_texts_that_are_not_packed_are_counted_in_a_sample(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = written(tmp_path, "classify", "sample:centuries.jsonl")
    whole = json.loads((run(recipe) / "metrics.json").read_text())["data"]["spelling"]
    assert not whole["is_sample"]
    monkeypatch.setattr(describe, "SAMPLE_CHARS", 10_000)
    part = json.loads((run(recipe) / "metrics.json").read_text())["data"]["spelling"]
    assert part["is_sample"]
    assert part["tokens"] != whole["tokens"]
    assert part["tokens"] == pytest.approx(whole["tokens"], rel=0.15)
    assert part["documents"] == whole["documents"]
    assert part["vocabulary_coverage"] < whole["vocabulary_coverage"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"They make about {part['tokens']:,} tokens" in card


def test_of_a_long_text_pieces_are_taken_from_everywhere(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A book that begins in English and ends in Chinese is not called English."""
    (tmp_path / "book.txt").write_text(
        "the end of it is that " * 12_000 + "白日依山盡黃河入海流" * 30_000, "utf-8"
    )
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("objective: clm\ndata: {sources: [{files: [book.txt]}], held_out: 0}\n", "utf-8")
    corpus = load(load_recipe(recipe).data, "clm", cache=cache, base=tmp_path)
    tokenizer = train_fast(
        "bpe", corpus.texts(), vocab_size=300, min_frequency=2, specials=specials_of("decoder")
    )
    monkeypatch.setattr(describe, "SAMPLE_CHARS", 100_000)
    found = describe.describe(corpus, tokenizer)
    assert (found.documents, found.is_sample, set(found.languages)) == (1, True, {"en", "zh"})


def test_unknown_words_are_counted(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "few.txt").write_text("the people of the states " * 40, encoding="utf-8")
    (tmp_path / "new.txt").write_text("the people of 寒山 " * 40, encoding="utf-8")
    specials = specials_of("encoder")
    tokenizer = train_fast(
        "wordpiece",
        [(tmp_path / "few.txt").read_text()],
        vocab_size=100,
        min_frequency=2,
        specials=specials,
    )
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("objective: clm\ndata: {sources: [{files: [new.txt]}], held_out: 0}\n", "utf-8")
    corpus = load(load_recipe(recipe).data, "clm", cache=cache, base=tmp_path)
    found = describe.describe(corpus, tokenizer)
    assert found.unknown_share == pytest.approx(2 / 5)
    assert "40.00% unknown" in found.sentence()


def told(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_long_reading_and_tokenising_tell_how_far_they_are(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("QUIET_S", "EVENT_S", "LINE_S"):
        monkeypatch.setattr(pace, name, 0.0)
    rows = (json.dumps({"text": f"Row {n} of the people of the states."}) for n in range(2000))
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    recipe = written(tmp_path, "clm", "rows.jsonl", chars=1_000_000)
    run(recipe, "--events", str(tmp_path / "events"))
    events = told(tmp_path / "events")
    for unit, what in (
        ("MB read", "Reading"),
        ("MB for the tokenizer", "Learning a tokenizer"),
        ("MB tokenised", "Tokenising"),
    ):
        found = [one for one in events if one["kind"] == "progress" and one["unit"] == unit]
        shares = [one["done"] / one["total"] for one in found]
        assert len(shares) > 5
        assert shares == sorted(shares)
        assert (shares[0] < 0.5, shares[-1]) == (True, 1)
        assert [
            one for one in events if one["kind"] == "log" and one["text"].startswith(f"{what}: 0 of 0 MB")
        ]


def test_what_is_told_is_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event a second and three lines a minute, whatever is done how often; short work says nothing."""
    now = SimpleNamespace(at=0.0)
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: now.at))
    with Reporter(events=str(tmp_path / "events"), quiet=True) as reporter:
        with pace.Pace(reporter, "Reading", "MB", scale=1e6) as short:
            for n in range(100):
                now.at += 0.01
                short(n * 1e6, 1e8)
        assert told(tmp_path / "events") == []
        with pace.Pace(reporter, "Reading", "MB", scale=1e6) as tell:
            for n in range(6000):
                now.at += 0.01
                tell(n * 1e6, 6e9)
    events = told(tmp_path / "events")
    assert 55 <= sum(one["kind"] == "progress" for one in events) <= 61
    lines = [one["text"] for one in events if one["kind"] == "log"]
    assert lines[0].startswith("Reading: 2,0")
    assert lines[0].endswith(" of 6,000 MB")
    assert 2 <= len(lines) <= 3
    assert events[-1] == {"kind": "progress", "done": 6000, "total": 6000, "unit": "MB"}


class Screen(io.StringIO):
    """A terminal as far as programs ask."""

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """What stands there when all is written."""
        shown = [""]
        for piece in re.split(r"(\r\x1b\[K|\n)", self.getvalue()):
            if piece == "\n":
                shown.append("")
            elif piece == "\r\x1b[K":
                shown[-1] = ""
            else:
                shown[-1] += piece
        return shown


def test_at_a_terminal_a_bar_stays_below_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    with Reporter() as reporter:
        reporter.bar(1000, 4000, "MB read", what="Reading")
        reporter.say("something")
        assert screen.lines() == ["something", f"Reading [{'#' * 7}{'.' * 23}] 1,000 of 4,000 MB read"]
        reporter.bar(4000, 4000, "MB read", what="Reading")
        reporter.say("the end")
        reporter.bar(1, 2, "samples")
    full = f"Reading [{'#' * 30}] 4,000 of 4,000 MB read"
    half = f"[{'#' * 15}{'.' * 15}] 1 of 2 samples"
    assert screen.lines() == ["something", full, "the end", half, ""]
