"""Scores without the items that stand in training data: from the file to the board."""

from __future__ import annotations

import csv
import io
import json

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from features.discussions.conftest import People
from features.evals.conftest import BENCHMARK, MODEL, Field
from kit.model_records import WEIGHTS, make_rows
from llmos.features.evals.overlaps import clean_scores, read_overlap
from llmos.features.jobs.models import Job
from llmos.records.digests import row_digest

BOARD = f"/datasets/{BENCHMARK}/leaderboard"
PLACE = "contamination/grace--poems.json"
CARD = b"---\ndatasets: [grace/poems]\n---\n# Tiny\n"
MOSTLY = [True] * 8 + [False] * 2


@pytest.fixture
def people(app_client: TestClient, tokens: dict[str, str]) -> People:
    return People(app_client, tokens)


def found_file(count: int, data: str = "grace/Poems") -> bytes:
    rows = {f"test/{n}": row_digest(row) for n, row in enumerate(make_rows(count))}
    return json.dumps({"benchmark": BENCHMARK, "data": [data], "rows": rows}).encode()


def test_a_score_without_what_stands_in_the_training_data(place: Field, people: People) -> None:
    record_id, files = place.record(MOSTLY)
    place.push(MODEL, {**files, "README.md": CARD})
    other, more = place.record([True] * 9 + [False], model="ada/other")
    place.create("ada/other")
    place.push("ada/other", {**WEIGHTS, **more})
    assert clean_scores(place.rt) == 0
    assert "Without items" not in board_head(people)
    place.push(BENCHMARK, {PLACE: found_file(4), "contamination/broken.json": b"{"})
    assert clean_scores(place.rt) == 1
    assert clean_scores(place.rt) == 0
    rows = {row.record_id: row for row in place.board()}
    assert (rows[record_id].found_items, rows[record_id].clean_value) == (4, pytest.approx(4 / 6))
    # Its card names no such data.
    assert rows[other].found_items is None
    assert "4 items less" in people.read(BOARD)
    told = people.read(f"/benchmarks/records/{record_id}")
    assert "4 of 10 items were found in grace/poems." in told
    assert "Without them the score is 0.6" in told
    assert "4 道题" in people.read(f"/benchmarks/records/{record_id}", **{"accept-language": "zh"})
    exported = {row["record_id"]: row for row in csv.DictReader(io.StringIO(csv_of(people)))}
    assert exported[record_id]["items_in_training_data"] == "4"
    assert exported[other]["value_without_them"] == ""


def test_other_findings_and_another_card_change_the_second_score(place: Field) -> None:
    _, files = place.record(MOSTLY)
    place.push(MODEL, {**files, "README.md": CARD})
    for count, value in ((10, None), (9, 0.0), (1, 7 / 9)):
        place.push(BENCHMARK, {PLACE: found_file(count)})
        assert clean_scores(place.rt) == 1
        (row,) = place.board()
        assert (row.found_items, row.clean_value) == (count, pytest.approx(value))
    place.push(MODEL, {"README.md": b"# Tiny\n"})
    assert clean_scores(place.rt) == 0
    assert place.board()[0].found_items is None
    place.push(MODEL, {"README.md": CARD})
    place.push(BENCHMARK, {PLACE: None})
    assert clean_scores(place.rt) == 0


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "3", '{"data": [], "rows": {}}', '{"data": ["a/b", "c/d"], "rows": {}}',
        '{"data": ["texts.jsonl"], "rows": {}}', '{"data": ["a/b"], "rows": []}',
        '{"data": ["a/b"], "rows": {"x": 3}}', '{"data": ["a/b"], "rows": {"x": "abc"}}',
    ],
)  # fmt: skip
def test_files_that_tell_nothing_are_passed_over(text: str) -> None:
    assert read_overlap(text.encode()) is None


def test_a_button_has_a_job_look_into_a_data_set(place: Field, people: People) -> None:
    place.create("ada/poems", "dataset")
    place.push("ada/poems", {"train.jsonl": b'{"text": "spring"}\n'})
    place.create("grace/secret", "dataset", visibility="private")
    owner, other = BENCHMARK.partition("/")[0], "ada"
    assert owner == "grace"
    assert "Look for its items" in people.read(BOARD, owner)
    assert "Look for its items" not in people.read(BOARD, other)
    assert people.do(BOARD, other, data="ada/poems").endswith("/leaderboard"), "not theirs to change"
    for wrong in ("poems", BENCHMARK, "grace/secret", "grace/none"):
        assert people.do(BOARD, owner, data=wrong).endswith("/leaderboard"), wrong
    assert people.do(BOARD, owner, data="ada/poems").startswith("/jobs/grace/")
    with place.rt.database.reading() as db:
        (job,) = [one for one in db.scalars(select(Job)).unique() if "contamination" in one.spec["recipe"]]
    assert [(one["type"], one["repo"]) for one in job.spec["inputs"]] == [
        ("dataset", BENCHMARK),
        ("dataset", "ada/poems"),
    ]
    (output,) = job.spec["outputs"]
    assert (output["type"], output["repo"], output["pull_request"]) == ("dataset", BENCHMARK, False)
    people.do(BOARD, "root-admin", data="ada/poems")
    with place.rt.database.reading() as db:
        newest = db.scalars(select(Job).order_by(Job.id.desc())).unique().first()
    assert newest is not None
    assert newest.spec["outputs"][0]["pull_request"], "a job has not the powers of an admin"


def board_head(people: People) -> str:
    page = people.read(BOARD)
    return page[page.index("<thead") : page.index("</thead")]


def csv_of(people: People) -> str:
    return people.read(f"{BOARD}/export/csv")
