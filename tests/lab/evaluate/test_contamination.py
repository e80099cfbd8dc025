"""Planted copies of benchmark items are found, to the letter and edited; texts alike in kind are not."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from kit.records import make_record
from llmos.cli.eval_contamination import contamination
from llmos.core.errors import Unprocessable
from llmos.features.evals.overlaps import read_overlap
from llmos.lab.__main__ import main as lab
from llmos.lab.data.readers import iter_rows
from llmos.lab.evaluate.contamination import check, probes
from llmos.lab.evaluate.contamination_data import scores_without
from llmos.lab.evaluate.metrics.words import words
from llmos.lab.evaluate.wordhash import WordHasher
from llmos.lab.samples import FOLDER, sample
from llmos.records.digests import row_digest
from llmos.records.errors import RecordError

ENGLISH = sample("english.txt").read_text("utf-8").split("\n\n")
CHINESE = sample("chinese.txt").read_text("utf-8").strip().split("\n\n")
MADE_UP = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor".split()


def edited(text: str, rng: random.Random, *, by_character: bool) -> str:
    """The text with a tenth of its words, or characters, replaced."""
    parts = list(text) if by_character else text.split()
    for at in rng.sample(range(len(parts)), len(parts) // 10):
        parts[at] = rng.choice("天地玄黃宇宙洪荒") if by_character else rng.choice(MADE_UP)
    return "".join(parts) if by_character else " ".join(parts)


@pytest.mark.parametrize(("texts", "is_chinese"), [(ENGLISH, False), (CHINESE, True)])
def test_planted_items_are_found_and_others_are_not(texts: list[str], is_chinese: bool) -> None:
    rng = random.Random(8)
    cut = [(t if is_chinese else " ".join(t.split()[:40])) for t in texts]
    items = [(f"test/{n}", {"text": t}) for n, t in enumerate(cut)]
    half = len(cut) // 2
    # Planted in the middle of other texts: the later half only.
    others = [f"document {n} " + " ".join(rng.choices(MADE_UP, k=60)) for n in range(half)]
    planted = [f"{other} {text} {other}" for other, text in zip(others, cut[half:], strict=False)]
    clean = [t if is_chinese else " ".join(t.split()[40:]) for t in (texts[:half] if not is_chinese else [])]
    found = check(items, [(f"d#{n}", t) for n, t in enumerate(planted + clean)])
    wanted = {f"test/{half + n}" for n in range(len(planted))}
    assert len(found.flagged & wanted) >= 0.99 * len(wanted)
    assert len(found.flagged - wanted) <= 1
    by_item = {flag.item: flag for flag in found.flags}
    assert by_item[f"test/{half}"].document == "d#0"
    assert by_item[f"test/{half}"].share > 0.99
    changed = [
        (f"d#{n}", other + edited(text, rng, by_character=is_chinese))
        for n, (other, text) in enumerate(zip(others, cut[half:], strict=False))
    ]
    found = check(items, changed)
    assert len(found.flagged & wanted) >= 0.9 * len(wanted)
    assert found.flagged <= wanted


def test_case_punctuation_and_layout_do_not_hide_a_copy() -> None:
    text = " ".join(ENGLISH[3].split()[:30])
    found = check([("a", {"text": text})], [("d", text.upper().replace(" ", " \n*") + "!")])
    assert found.flagged == {"a"}


def test_a_copy_across_the_border_of_two_pieces_is_found() -> None:
    text = " ".join(ENGLISH[5].split()[:40])
    filling = "word " * ((1 << 20) // 5 - 20)
    found = check([("a", {"text": text}), ("b", {"text": " ".join(MADE_UP[::-1])})], [("d", filling + text)])
    assert [(flag.item, flag.document) for flag in found.flags] == [("a", "d")]


def test_words_far_apart_make_no_copy() -> None:
    parts = ENGLISH[2].split()[:60]
    runs = [" ".join(parts[at : at + 7]) for at in range(0, 56, 7)]
    scattered = (" ".join(["padding"] * 400)).join(runs)
    assert check([("a", {"text": " ".join(parts)})], [("d", scattered)]).flagged == set()


def test_short_rows_are_found_whole_only() -> None:
    items = [("a", {"en": "Create bucket", "zh": "创建存储桶"}), ("b", {"en": "Delete the bucket"})]
    found = check(items, [("d#1", "how to create bucket here"), ("d#2", "CREATE  bucket!")])
    assert (found.items, found.short) == (2, 2)
    assert [(flag.item, flag.field, flag.document) for flag in found.flags] == [("a", "en", "d#2")]


def test_what_of_a_row_is_looked_for() -> None:
    row = {"id": "x", "question": "What is it?", "choices": ["one", "two"], "answer": 1, "tokens": ["a", "b"]}
    assert list(probes(row)) == [
        ("question", "What is it?"),
        ("tokens", "a b"),
        ("choices", "What is it? two"),
    ]
    assert list(probes(row, ["id"])) == [("id", "x")]
    with pytest.raises(Unprocessable, match="no item of the benchmark has text"):
        check([("a", {"label": "spam"})], [])


def test_words_are_cut_as_metrics_cut_them() -> None:
    texts = ["Hello, wide World 春眠 a1b_c", "", "黃河入海流。Ctrl+S\x00x", "ÀÉÎ straße 𠮷野家"]
    found = WordHasher().words(texts)
    assert found.counts.tolist() == [len(words(text.replace("_", " "))) for text in texts]
    again = WordHasher().words(["黃河", "world", "WORLD. 黃"])
    assert again.hashes[2] == again.hashes[3]
    assert again.hashes[0] == again.hashes[4]


def test_the_command_names_items_and_says_scores_without_them(tmp_path: Path) -> None:
    benchmark = FOLDER / "benchmarks/tang-cloze"
    rows = [json.loads(line) for line in (benchmark / "data/test.jsonl").read_text("utf-8").splitlines()]
    leak = rows[3]["question"] + "\n" + rows[3]["choices"][rows[3]["answer"]]
    data = tmp_path / "texts.jsonl"
    messages = [{"role": "user", "content": "背誦"}, {"role": "assistant", "content": leak}]
    lines = [{"text": "nothing here"}, {"messages": messages}]
    data.write_text("\n".join(json.dumps(line) for line in lines), "utf-8")
    command = ["--benchmark", str(benchmark), "--data", str(data)]
    plain = CliRunner().invoke(contamination, command)
    assert plain.exit_code == 0, plain.output
    assert "1 of 48 items found in 2 documents" in plain.output
    assert f"test/3  question  100%  {data}#2" in plain.output
    out = tmp_path / "found.json"
    told = CliRunner().invoke(contamination, [*command, "--json", "--out", str(out)])
    assert json.loads(told.output) == json.loads(out.read_text("utf-8")) | {
        "seconds": json.loads(told.output)["seconds"]
    }
    assert json.loads(told.output)["flags"][0]["item"] == "test/3"
    # As records name rows, for boards to find.
    assert json.loads(told.output)["rows"] == {"test/3": row_digest(rows[3])}
    for arguments, why in (
        (["--benchmark", str(tmp_path), "--data", str(data)], "eval.yaml"),
        ([*command[:2], "--data", str(tmp_path / "none.txt")], "none.txt"),
    ):
        refused = CliRunner().invoke(contamination, arguments)
        assert refused.exit_code == 1
        assert why in refused.output


def test_a_job_writes_what_the_board_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = FOLDER / "benchmarks" / "tang-cloze"
    line = next(iter_rows(next((benchmark / "data").glob("test*"))))
    data, recipe = tmp_path / "poems", tmp_path / "recipe.json"
    data.mkdir()
    copied = json.dumps({"text": " ".join(str(value) for value in line.values())}, ensure_ascii=False)
    (data / "train.jsonl").write_text(f'{{"text": "nothing of it"}}\n{copied}\n', encoding="utf-8")
    laid = {"dataset:llmos/tang-cloze": str(benchmark), "dataset:ada/poems": str(data)}
    monkeypatch.setenv("LLMOS_INPUTS", json.dumps(laid))
    push = {"repo": "llmos/tang-cloze"}
    plan = {"benchmark": {"repo": "llmos/tang-cloze"}, "data": {"repo": "ada/poems"}}
    recipe.write_text(json.dumps({"version": 1, "contamination": plan, "push": push}))
    assert lab(["run", str(recipe), "--output", str(tmp_path / "output")]) == 0
    (written,) = (tmp_path / "output").rglob("*.json")
    assert written == tmp_path / "output" / "contamination" / "ada--poems.json"
    place, rows = read_overlap(written.read_bytes()) or ("", [])
    assert place == "ada/poems"
    assert row_digest(line)[:16] in rows


def test_scores_of_a_record_without_the_items_found(tmp_path: Path) -> None:
    bundle = make_record(tmp_path).bundle
    table = pq.read_table(bundle / "samples.parquet")
    right = [json.loads(text)["accuracy"] for text in table.column("scores").to_pylist()]
    ids = table.column("id").to_pylist()
    (told,) = scores_without(bundle, set(ids[:5]))
    assert told["name"] == "accuracy"
    assert told["value"] == pytest.approx(sum(right) / len(right))
    assert told["without"] == pytest.approx(sum(right[5:]) / len(right[5:]))
    assert scores_without(bundle, set(ids))[0]["without"] is None
    with pytest.raises(RecordError):
        scores_without(tmp_path, set())
