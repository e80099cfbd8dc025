"""From files to examples: split by content, cleaned, counted, found again; and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmos.lab.data.errors import DataError
from llmos.lab.data.loader import Corpus, load
from llmos.lab.data.sources import split_files
from llmos.lab.recipes.schema import Data, Source
from llmos.lab.samples import LICENCES, sample

OBJECTIVES = {
    "english.txt": "clm",
    "chinese.txt": "mlm",
    "centuries.jsonl": "classify",
    "tags.jsonl": "tag",
    "chat.jsonl": "sft",
    "headings.jsonl": "summarize",
    "preferences.jsonl": "dpo",
    "questions.jsonl": "qa",
    "pairs.jsonl": "translate",
}


def data_of(*files: Path | str, source: dict[str, Any] | None = None, **options: Any) -> Data:
    first = {"files": [str(file) for file in files], **(source or {})}
    return Data.model_validate({"sources": [first], **options})


def rows(folder: Path, found: list[dict[str, Any]], name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(json.dumps(row) for row in found), encoding="utf-8")
    return path


def loaded(folder: Path, data: Data, objective: str = "clm", **options: Any) -> Corpus:
    return load(data, objective, cache=folder / "cache", base=folder, **options)


@pytest.mark.parametrize("name", sorted(LICENCES))
def test_every_sample_serves_its_objective(tmp_path: Path, name: str) -> None:
    data = data_of(sample(name), source={"unit": "paragraph"})
    corpus = loaded(tmp_path, data, OBJECTIVES[name])
    assert corpus.statistics.train > 30
    assert corpus.statistics.validation >= 1
    assert len(list(corpus)) == len(corpus) == corpus.statistics.train
    assert len(list(corpus.examples("validation"))) == corpus.statistics.validation
    assert corpus.sources[0]["files"] == corpus.sources[0]["samples"] == [name]


def test_the_split_depends_on_content_alone(tmp_path: Path) -> None:
    found = [{"text": f"Document number {n} of the test."} for n in range(400)]
    one = loaded(tmp_path, data_of(rows(tmp_path, found), held_out=0.1))
    other = loaded(tmp_path, data_of(rows(tmp_path, found[::-1], "turned.jsonl"), held_out=0.1))
    held = {row["text"] for row in one.examples("validation")}
    assert held == {row["text"] for row in other.examples("validation")}
    assert 20 < len(held) < 65
    assert held.isdisjoint(one.texts())
    assert one.key != other.key


def test_prepared_data_is_found_again(tmp_path: Path) -> None:
    data = data_of(rows(tmp_path, [{"text": f"Line {n}"} for n in range(300)]))
    told: list[tuple[int, int, int]] = []
    first = loaded(tmp_path, data, progress=lambda *args: told.append(args))
    assert told[-1][0] == 300
    assert told[-1][1] == told[-1][2] > 0
    assert all(0 < done <= size for _, done, size in told)
    again = loaded(tmp_path, data, progress=lambda *_: pytest.fail("it was read again"))
    assert (again.key, again.statistics) == (first.key, first.statistics)


def test_cleaning_and_counting(tmp_path: Path) -> None:
    texts = [
        "The first  text\r\nof the\x00 set is short.",
        "The first text\nof the set is short.",
        "no",
        "這首詩是用中文寫的，讀起來很好。",
        "Le chat est assis sur une table verte et mange.",
        "a\na\na\na\na\na",
    ]
    cleaning = {"min_chars": 4, "languages": ["en", "zh"], "max_repeated": 0.5}
    path = rows(tmp_path, [{"text": text} for text in texts])
    corpus = loaded(tmp_path, data_of(path, cleaning=cleaning, held_out=0))
    assert list(corpus.texts()) == ["The first text\nof the set is short.", texts[3]]
    assert corpus.statistics.dropped == {"exact": 1, "short": 1, "language other": 1, "repeated": 1}
    assert corpus.statistics.languages == {"en": 1, "zh": 1}
    assert corpus.statistics.words == 8 + 14


def test_near_copies_and_copies_of_the_validation_set_go(tmp_path: Path) -> None:
    text = sample("english.txt").read_text(encoding="utf-8").split("\n\n")
    train = rows(tmp_path, [{"text": text[0]}, {"text": text[0] + " Indeed."}, {"text": text[1]}])
    check = rows(tmp_path, [{"text": text[1]}], "check.jsonl")
    data = data_of(train, validation=[{"files": [str(check)]}], cleaning={"dedup": "near"})
    corpus = loaded(tmp_path, data)
    assert list(corpus.texts()) == [text[0]]
    assert list(corpus.texts("validation")) == [text[1]]
    assert corpus.statistics.dropped == {"near": 1, "exact": 1}


def test_few_texts_still_have_a_held_out_part(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("\n".join(f"Line {n} of the only text." for n in range(100)))
    corpus = loaded(tmp_path, data_of("one.txt", held_out=0.1))
    (head,), (tail,) = list(corpus.texts()), list(corpus.texts("validation"))
    assert head.endswith("Line 89 of the only text.")
    assert tail.startswith("Line 90")
    assert corpus.statistics.chars == len(head)
    both = loaded(tmp_path, data_of(sample("english.txt"), sample("chinese.txt")))
    assert both.statistics.languages == {"en": 1, "zh": 1}
    assert (both.statistics.train, both.statistics.validation) == (2, 2)
    assert 0.04 < both.statistics.validation_bytes / both.statistics.size_bytes < 0.06
    two = loaded(tmp_path, data_of(rows(tmp_path, [{"text": "Aa"}, {"text": "Bb"}]), held_out=0.01))
    assert (list(two.texts()), list(two.texts("validation"))) == (["Aa"], ["Bb"])


def test_weights_limits_and_named_columns(tmp_path: Path) -> None:
    path = rows(tmp_path, [{"body": f"Text {n}", "id": n} for n in range(50)])
    data = data_of(path, source={"weight": 2, "columns": {"text": "body"}}, held_out=0)
    assert loaded(tmp_path, data).statistics.train == 100
    data = data_of(path, columns={"text": "body"}, held_out=0, max_documents=7)
    assert len(list(loaded(tmp_path, data))) == 7


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    path = rows(tmp_path, [{"id": 1, "content": "x", "texts": "y"}])
    with pytest.raises(
        DataError, match=r'no column "text"; its columns are: id, content, texts. Did you mean "texts"'
    ):
        loaded(tmp_path, data_of(path))
    with pytest.raises(DataError, match=r'columns.text\) has no column "contant".* Did you mean "content"'):
        loaded(tmp_path, data_of(path, columns={"text": "contant"}))
    with pytest.raises(DataError, match=r"classify needs text .* label or text . label; say in data.columns"):
        loaded(tmp_path, data_of(path), "classify")
    with pytest.raises(DataError, match=r'"gone.txt" matches no file. In .* are: '):
        loaded(tmp_path, data_of("gone.txt"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="holds no file ending in"):
        loaded(tmp_path, data_of("folder"))
    with pytest.raises(DataError, match=r"Nothing is left to learn from .*5 short"):
        loaded(tmp_path, data_of(rows(tmp_path, [{"text": "a"}] * 5), cleaning={"min_chars": 9}))


def test_a_data_set_laid_by_a_runner_needs_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laid = tmp_path / "inputs"
    (laid / "data").mkdir(parents=True)
    rows(laid / "data", [{"text": f"Line {n}"} for n in range(40)], "train.jsonl")
    rows(laid / "data", [{"text": "x"}], "test.jsonl")
    (laid / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# Poems\n")
    monkeypatch.setenv("LLMOS_INPUTS", json.dumps({"dataset:ada/poems": str(laid)}))
    data = Data.model_validate({"sources": [{"dataset": "ada/poems", "revision": "c" * 40}]})
    corpus = loaded(tmp_path, data)
    assert corpus.statistics.read == 40
    assert (corpus.sources[0]["licence"], corpus.sources[0]["revision"]) == ("cc-by-4.0", "c" * 40)
    # Where the recipe names no commit, or a branch, the one the hub pinned for the job counts.
    monkeypatch.setenv("LLMOS_INPUT_REVISIONS", json.dumps({"dataset:ada/poems": "d" * 40}))
    for revision in (None, "main"):
        data = Data.model_validate({"sources": [{"dataset": "ada/poems", "revision": revision}]})
        assert loaded(tmp_path, data).sources[0]["revision"] == "d" * 40


def test_splits_of_a_data_set() -> None:
    def found(paths: list[str], card: dict[str, Any] | None = None, **source: Any) -> list[str]:
        return split_files(card or {}, paths, Source.model_validate({"dataset": "ada/poems", **source}))

    named = ["README.md", "data/train-0.parquet", "data/train-1.parquet", "data/test-0.parquet"]
    assert found(named) == named[1:3]
    assert found(named, split="test") == named[3:]
    assert found(["README.md", "poems.jsonl"]) == ["poems.jsonl"]
    with pytest.raises(DataError, match='ada/poems has no split "dev"; it has: train, test'):
        found(named, split="dev")
    card = {
        "configs": [
            {"config_name": "zh", "data_files": [{"split": "train", "path": "zh/*.jsonl"}]},
            {"config_name": "en", "data_files": "en/all.jsonl", "default": True},
        ]
    }
    paths = ["zh/a.jsonl", "zh/b.jsonl", "en/all.jsonl"]
    assert found(paths, card) == ["en/all.jsonl"]
    assert found(paths, card, config="zh") == ["zh/a.jsonl", "zh/b.jsonl"]
    with pytest.raises(DataError, match='no configuration "fr"; it has: zh, en'):
        found(paths, card, config="fr")
