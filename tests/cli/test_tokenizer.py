"""`llmos tokenizer compare` as people call it: a table, figures for scripts, refusals, and no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from llmos.lab.__main__ import main as lab
from llmos.lab.samples import sample
from llmos.lab.tokenizers.specials import specials_of
from llmos.lab.tokenizers.train import train_fast

ENGLISH = sample("english.txt").read_text(encoding="utf-8")
BOTH = ("--data", "sample:english.txt", "--data", "sample:chinese.txt")
WITHOUT_TORCH = """
import sys
for name in ("torch", "transformers"):
    sys.modules[name] = None
from llmos.lab.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("LLMOS_LAB_CACHE", str(tmp_path / "cache"))
    return dict(os.environ)


def run(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True, timeout=120)


def test_three_kinds_and_a_given_one(env: dict[str, str], tmp_path: Path) -> None:
    small = train_fast(
        "bpe", [ENGLISH[:20_000]], vocab_size=300, min_frequency=2, specials=specials_of("decoder")
    )
    # As finished models save theirs: cut and filled up they would seem to need fewer tokens.
    small.enable_truncation(8)
    small.enable_padding(length=8)
    small.save(str(tmp_path / "tokenizer.json"))
    command = (
        "-m",
        "llmos.cli",
        "tokenizer",
        "compare",
        str(tmp_path),
        *BOTH,
        "--vocab-size",
        "600",
        "--json",
    )
    done = run(env, *command)
    assert done.returncode == 0, done.stderr
    found = {(one["tokenizer"], one["language"]): one for one in json.loads(done.stdout)}
    assert {name for name, _ in found} == {"bpe", "unigram", "wordpiece", str(tmp_path)}
    assert {language for _, language in found} == {"en", "zh"}
    sizes = {found[name, "en"]["size_bytes"] for name in ("bpe", "unigram", str(tmp_path))}
    assert len(sizes) == 1, "all are asked for the same texts"
    assert 0.05 < sizes.pop() / len(ENGLISH.encode()) < 0.15, "a tenth is held out"
    for language in ("en", "zh"):
        # What was made of the same texts, with twice the vocabulary, spells them with fewer tokens.
        assert found["bpe", language]["bytes_per_token"] > found[str(tmp_path), language]["bytes_per_token"]
        assert found[str(tmp_path), language]["is_lossless"]
    assert found["bpe", "en"]["vocab_size"] == 600
    assert found["wordpiece", "zh"]["unknown_share"] > 0 == found["unigram", "zh"]["unknown_share"]


def test_the_table_needs_neither_torch_nor_transformers(env: dict[str, str]) -> None:
    words = ("tokenizers", "--data", "sample:english.txt", "--type", "bpe", "--vocab-size", "400")
    done = run(env, "-c", WITHOUT_TORCH, *words)
    assert done.returncode == 0, done.stderr
    head, _, row = done.stdout.splitlines()
    assert [cell.strip() for cell in head.split("|")[1:6]] == [
        "tokenizer", "language", "vocabulary", "bytes a token", "tokens a word"
    ]  # fmt: skip
    assert [cell.strip() for cell in row.split("|")[1:4]] == ["bpe", "en", "400"]
    assert "Training bpe" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["/nowhere"], "/nowhere is no folder or file here, and no name of a model"),
        (["recipe.yaml"], "recipe.yaml holds no tokenizer"),
        (["odd.json"], "odd.json is a tokenizer of kind Odd; known are: BPE, Unigram"),
        (["empty"], "empty has no tokenizer.json: only fast tokenizers can be compared"),
        (["--data", "nothing.txt"], 'nothing.txt" matches no file'),
        (["--type", "bpe", "--vocab-size", "100"], "vocab_size: 100 is too small"),
        (["--data", "short.txt", "--type", "bpe"], "There is no text to make a tokenizer from"),
    ],
)
def test_what_cannot_be_compared_is_named(
    words: list[str], told: str, env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "recipe.yaml").write_text("objective: clm\n")
    (tmp_path / "odd.json").write_text('{"model": {"type": "Odd"}}')
    (tmp_path / "short.txt").write_text("x")
    data = [] if "--data" in words else ["--data", "sample:chinese.txt"]
    assert lab(["tokenizers", *words, *data]) == 2
    assert told in capsys.readouterr().err


def test_only_given_ones(env: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer: Tokenizer = train_fast(
        "bpe", [ENGLISH[:20_000]], vocab_size=300, min_frequency=2, specials=specials_of("decoder")
    )
    path = tmp_path / "mine.json"
    tokenizer.save(str(path))
    assert lab(["tokenizers", str(path), "--data", "sample:english.txt", "--given-only", "--json"]) == 0
    assert [one["tokenizer"] for one in json.loads(capsys.readouterr().out)] == [str(path)]
    done = run(env, "-m", "llmos.cli", "tokenizer", "compare", "--given-only", "--data", "x")
    assert "--given-only: name a tokenizer" in done.stderr
