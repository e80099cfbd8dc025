"""The benchmarks that come with LLMOS: small, right by construction, apart from their examples."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmos.core.errors import Conflict, NotFound
from llmos.lab.corpora import default_cache
from llmos.lab.data.dedup import Deduplicator
from llmos.lab.evaluate.benchmarks import build as building
from llmos.lab.evaluate.benchmarks.base import Sources
from llmos.lab.evaluate.benchmarks.build import BENCHMARKS, build, build_checked, data_digests, eval_yaml
from llmos.lab.evaluate.benchmarks.cards import baselines, card
from llmos.lab.evaluate.benchmarks.labelled import UNIVERSAL, universal
from llmos.lab.evaluate.metrics import get_metric
from llmos.lab.evaluate.outcomes import Outcome
from llmos.lab.evaluate.tasks.questions import Asker
from llmos.lab.evaluate.tasks.schema import parse_task
from llmos.lab.samples import FOLDER, sample

SHIPPED = sorted(path.name for path in (FOLDER / "benchmarks").iterdir())
Rows = list[dict[str, Any]]


def rows_of(name: str) -> dict[str, Rows]:
    files = sorted((FOLDER / "benchmarks" / name / "data").glob("*.jsonl"))
    return {path.stem: [json.loads(line) for line in path.read_text("utf-8").splitlines()] for path in files}


def tasks_of(name: str) -> list[dict[str, Any]]:
    content = yaml.safe_load((FOLDER / "benchmarks" / name / "eval.yaml").read_text("utf-8"))
    assert content["evaluation_framework"] == "llmos"
    tasks: list[dict[str, Any]] = content["tasks"]
    return tasks


def test_what_is_shipped_is_small_pinned_and_complete() -> None:
    assert [name for name, benchmark in sorted(BENCHMARKS.items()) if benchmark.small] == SHIPPED
    paths = [path for path in (FOLDER / "benchmarks").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in paths) <= 200_000
    pinned = json.loads(building.DIGESTS.read_text("utf-8"))
    assert pinned["full"].keys() == BENCHMARKS.keys()
    for name in SHIPPED:
        assert data_digests(FOLDER / "benchmarks" / name) == pinned["small"][name], name


@pytest.mark.parametrize("name", SHIPPED)
def test_cards_say_whence_and_under_which_terms(name: str) -> None:
    text = (FOLDER / "benchmarks" / name / "README.md").read_text("utf-8")
    assert text == card(BENCHMARKS[name], rows_of(name), "small"), "run scripts/make_benchmarks.py"
    assert eval_yaml(BENCHMARKS[name]) == (FOLDER / "benchmarks" / name / "eval.yaml").read_text("utf-8")
    _, head, body = text.split("---\n", 2)
    front = yaml.safe_load(head)
    assert front["license"]
    assert {entry["split"] for entry in front["configs"][0]["data_files"]} == rows_of(name).keys()
    for part in ("## How it was made", "## Limits", "## Licence", "## 如何构建", "## 局限", "## 许可"):
        assert part in body


@pytest.mark.parametrize("name", SHIPPED)
def test_every_row_is_asked_and_the_right_answer_scores_best(name: str) -> None:
    splits = rows_of(name)
    for fields in tasks_of(name):
        task = parse_task(fields, name)
        asker = Asker(task)
        questions = [asker.ask(row, row["id"]) for row in splits[task.split]]
        if task.kind in ("multiple_choice", "classification"):
            right = [Outcome(target=q.target, chosen=q.target, choices=q.choices) for q in questions]
            assert get_metric("accuracy").aggregate(right).value == 1.0
            assert all(len(set(q.choices)) == len(q.choices) for q in questions)
        elif task.kind in ("qa", "translation"):
            right = [Outcome(output=q.references[0], references=q.references) for q in questions]
            for metric in task.metric_choices():
                best = get_metric(metric.name, language=task.language).aggregate(right).value
                assert best == pytest.approx({"ter": 0.0}.get(metric.name, 100.0 if best > 1 else 1.0))
        elif task.kind == "tagging":
            right = [Outcome(target=q.target, found=q.target) for q in questions]
            assert get_metric("tag_accuracy").aggregate(right).value == 1.0


@pytest.mark.parametrize("name", SHIPPED)
def test_answers_are_balanced_and_guessing_is_told(name: str) -> None:
    splits = rows_of(name)
    told = (FOLDER / "benchmarks" / name / "README.md").read_text("utf-8")
    for task in tasks_of(name):
        rows = splits[task["split"]]
        found = baselines(task, rows)
        if not found:
            continue
        answers = Counter(row.get("label", row.get("answer")) for row in rows)
        assert max(answers.values()) - min(answers.values()) <= 1
        assert found["majority"] == pytest.approx(found["chance"], abs=0.02)
        assert f"| {found['chance']:.3f} | {found['majority']:.3f} |" in told


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "pronoun-leanings"])
def test_no_test_item_is_nearly_an_example(name: str) -> None:
    splits = rows_of(name)
    seen = Deduplicator("near", threshold=0.6)
    for row in splits["train"]:
        seen.copy_of(_text(row))
    assert [row["id"] for row in splits["test"] if seen.copy_of(_text(row))] == []
    ids = [row["id"] for rows in splits.values() for row in rows]
    assert len(set(ids)) == len(ids)


def _text(row: dict[str, Any]) -> str:
    if "tokens" in row:
        return " ".join(row["tokens"])
    if "choices" in row:
        return str(row["question"] + row["choices"][row["answer"]])
    return str(row.get("text") or row.get("context") or row.get("en"))


def test_spans_tags_and_metres() -> None:
    for name in ("speech-questions", "tang-questions"):
        for rows in rows_of(name).values():
            for row in rows:
                text, start = row["answers"]["text"][0], row["answers"]["answer_start"][0]
                assert row["context"][start : start + len(text)] == text
    for rows in rows_of("speech-questions").values():
        for row in rows:
            numbers = re.findall(
                r"\d+ per ?cent|(?<![\d$,.])(?:1[789]|20)\d\d(?![\d,%]|\.\d)|\$\d", row["context"]
            )
            kind = {"Which y": r"^\d{4}$", "Which s": r"\$", "What pe": "per"}[row["question"][:7]]
            assert sum(bool(re.search(kind, number)) for number in numbers) == 1, row
    for rows in rows_of("brown-tags").values():
        assert all(len(row["tokens"]) == len(row["tags"]) for row in rows)
        assert {tag for row in rows for tag in row["tags"]} <= set(UNIVERSAL)
    for rows in rows_of("tang-cloze").values():
        for row in rows:
            assert {len(choice) for choice in row["choices"]} == {len(row["question"])}
    tags = ["nn-tl", "np$", "vbd", "ppss+bem", "at", ".", "``", "fw-in", "*", "jjt", "wdt", "cs", "--", "to"]
    expected = "NOUN NOUN VERB PRON DET . . X ADV ADJ DET CONJ . PRT".split()
    assert [universal(tag) for tag in tags] == expected


def test_pronouns_differ_in_the_pronoun_alone() -> None:
    for language, (she, he) in {"en": (" she ", " he "), "zh": ("她", "他")}.items():
        rows = rows_of("pronoun-leanings")[language]
        assert len(rows) == 48
        for row in rows:
            of_her, of_him = row["choices"][row["she"]], row["choices"][1 - row["she"]]
            assert of_her.replace(she, he) == of_him
        assert sum(row["she"] for row in rows) == 24
        assert sum(row["answer"] == row["she"] for row in rows) == 24
        always_she = [Outcome(target=row["answer"], chosen=row["she"]) for row in rows]
        assert get_metric("preference_gap").aggregate(always_she).value == 0.0
        always_she = [Outcome(target=row["she"], chosen=row["she"]) for row in rows]
        assert get_metric("preference_gap").aggregate(always_she).value == 1.0


class FromSamples(Sources):
    """Corpora of the size of a test, from texts in the package."""

    def rows(self, name: str) -> Rows:
        if name == "speeches":
            parts = sample("english.txt").read_text("utf-8").split("\n\n")
            texts = [" ".join(parts[at : at + 6]) for at in range(0, len(parts), 6)]
            return [{"text": text, "year": 1800 + n, "speaker": "ada"} for n, text in enumerate(texts)]
        poems = sample("chinese.txt").read_text("utf-8").strip().split("\n\n")
        return [{"text": poem, "title": poem.split("\n")[0], "author": poem.split("\n")[1]} for poem in poems]


def test_answers_follow_in_the_text_and_building_repeats(tmp_path: Path) -> None:
    sources = FromSamples()
    speeches = " ".join(" ".join(row["text"].split()) for row in sources.rows("speeches"))
    poems = "\n".join(row["text"] for row in sources.rows("poems"))
    for name, text, joint in (("english-cloze", speeches, " "), ("tang-cloze", poems, "\n")):
        build(name, tmp_path / name, size="small", sources=sources)
        rows = [json.loads(x) for x in (tmp_path / name / "data/test.jsonl").read_text("utf-8").splitlines()]
        assert len(rows) >= 4
        for row in rows:
            follows = [row["question"] + joint + choice in text for choice in row["choices"]]
            assert follows == [at == row["answer"] for at in range(4)]
        before = data_digests(tmp_path / name)
        build(name, tmp_path / name, size="small", sources=FromSamples())
        assert data_digests(tmp_path / name) == before


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="No benchmark is called glue; there are: english-text"):
        build("glue", tmp_path)
    with pytest.raises(NotFound, match="no small edition"):
        build("english-spam", tmp_path, size="small")
    other = tmp_path / "digests.json"
    other.write_text('{"full": {"pronoun-leanings": {"data/en.jsonl": "0"}}}')
    monkeypatch.setattr(building, "DIGESTS", other)
    with pytest.raises(Conflict, match=r"pronoun-leanings: data/en.jsonl, data/zh.jsonl is not what"):
        build_checked("pronoun-leanings", tmp_path / "p")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name != "english-spam"])
def test_full_editions_are_the_published_ones(name: str, tmp_path: Path) -> None:
    if not (default_cache() / "brown.jsonl").exists():
        pytest.skip("the corpora are not fetched; python -m llmos.lab.corpora brown")
    build_checked(name, tmp_path / name)
