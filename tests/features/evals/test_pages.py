"""Boards, records and a model's results as pages."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from features.discussions.conftest import People
from features.evals.conftest import BENCHMARK, MODEL, Field
from kit.model_records import AT, EVAL_YAML, WEIGHTS, result_file
from kit.statements import counted
from llmos.features.evals.comparing import is_tie, keep_scores
from llmos.features.evals.models import REPRODUCED

BOARD = f"/datasets/{BENCHMARK}/leaderboard"
GOOD = [True] * 38 + [False] * 2
WORSE = [True] * 20 + [False] * 20


@pytest.fixture
def people(app_client: TestClient, tokens: dict[str, str]) -> People:
    return People(app_client, tokens)


@pytest.fixture
def signed(place: Field) -> Field:
    """Two signed models and one that only says so."""
    place.push(MODEL, place.record(GOOD)[1])
    other = {**WEIGHTS, "model.safetensors": b"others"}
    place.create("grace/rival")
    place.push("grace/rival", {**other, **place.record(WORSE, model="grace/rival", files=other)[1]})
    place.create("ada/boaster")
    place.push("ada/boaster", {".eval_results/x.yaml": result_file(BENCHMARK, 0.99, notes="trust me")})
    return place


def record_of(place: Field, name: str = MODEL) -> str:
    return place.results(name)[0].record_id


def test_every_page_answers_in_both_languages_with_few_queries(signed: Field, people: People) -> None:
    pages = (
        "/benchmarks", "/benchmarks/log", "/benchmarks/instances", BOARD, f"{BOARD}?view=plots",
        f"{BOARD}?col=joules&col=license&evidence=signed&size=lt100m&open_data=on&sort=energy",
        f"/{MODEL}/evaluation", f"/benchmarks/records/{record_of(signed)}",
        f"/benchmarks/records/{record_of(signed, 'ada/boaster')}",
        f"/{MODEL}/evaluation/samples?record={record_of(signed)}&show=all",
        f"/benchmarks/combined?b={BENCHMARK}:cloze", f"/embed/leaderboard/{BENCHMARK}",
    )  # fmt: skip
    for path in pages:
        for who in (None, "ada", "root-admin"):
            with counted() as statements:
                english = people.read(path, who)
            assert len(statements) <= 12, (path, who, statements)
        assert people.read(path, "ada", **{"accept-language": "zh"}) != english


def test_the_board_ranks_by_score_and_shows_what_stands_behind(signed: Field, people: People) -> None:
    page = people.read(BOARD)
    assert page.index("ada/boaster") < page.index(MODEL) < page.index("grace/rival")
    assert "Self-reported" in page
    assert "Signed" in page
    only = people.read(f"{BOARD}?evidence=signed")
    assert "ada/boaster" not in only
    assert MODEL in only


def test_ties_are_told_by_the_answers_of_both() -> None:
    base = [1.0] * 50 + [0.0] * 50
    assert is_tie(base, [1.0] * 47 + [0.0] * 53)
    assert not is_tie(base, [1.0] * 30 + [0.0] * 70)
    assert is_tie([0.5, 0.6, 0.7], [0.5, 0.6, 0.7])
    assert not is_tie([value + 0.2 for value in (0.1, 0.2, 0.3, 0.4)], [0.1, 0.21, 0.3, 0.4])


def test_models_that_cannot_be_told_apart_share_a_rank(place: Field, people: People) -> None:
    for name, right in (("ada/one", 30), ("ada/two", 29), ("ada/three", 5)):
        files = {**WEIGHTS, "model.safetensors": name.encode()}
        place.create(name)
        answers = [True] * right + [False] * (40 - right)
        place.push(name, {**files, **place.record(answers, model=name, files=files)[1]})
    assert keep_scores(place.rt) == 3
    rows = list(csv.DictReader(io.StringIO(people.read(f"{BOARD}/export/csv"))))
    assert [(row["rank"], row["model"]) for row in rows] == [
        ("1", "ada/one"), ("1", "ada/two"), ("3", "ada/three"),
    ]  # fmt: skip
    assert people.read(BOARD).count("board-eq") == 2


def test_exports_hold_every_row_and_no_formula(signed: Field, people: People) -> None:
    rows = list(csv.DictReader(io.StringIO(people.read(f"{BOARD}/export/csv"))))
    assert [row["evidence"] for row in rows] == ["reported", "signed", "signed"]
    answer = people.get(f"{BOARD}/export/parquet")
    table = pq.read_table(io.BytesIO(answer.content))
    assert table.column("model").to_pylist() == ["ada/boaster", MODEL, "grace/rival"]
    assert people.get(f"{BOARD}/export/exe").status_code == 400


def test_others_may_frame_a_board_and_nothing_else(signed: Field, people: People) -> None:
    framed = people.get(f"/embed/leaderboard/{BENCHMARK}")
    assert "frame-ancestors *" in framed.headers["content-security-policy"]
    assert "x-frame-options" not in framed.headers
    assert "frame-ancestors 'none'" in people.get(BOARD).headers["content-security-policy"]


def test_a_doubt_is_told_in_the_language_of_the_reader(signed: Field, people: People) -> None:
    token = f"llmos:v1:key:{record_of(signed)}"
    signed.push(MODEL, {".eval_results/more.yaml": result_file(BENCHMARK, 0.99, verifyToken=token)})
    (claim,) = [row for row in signed.results() if row.filename.endswith("more.yaml")]
    path = f"/benchmarks/records/{claim.record_id}"
    assert "the record it names says something else: " in people.read(path)
    assert "它所指的记录写的是另一个数值：" in people.read(path, **{"accept-language": "zh"})


def test_a_data_set_without_eval_yaml_has_no_board(place: Field, people: People) -> None:
    place.create("grace/words", "dataset")
    assert people.get("/datasets/grace/words/leaderboard").status_code == 404
    assert people.get(f"/{MODEL}/leaderboard").status_code == 404
    assert people.get(f"{BOARD}?task=other").status_code == 404


def test_answers_of_two_models_stand_side_by_side(signed: Field, people: People) -> None:
    mine, theirs = record_of(signed), record_of(signed, "grace/rival")
    page = people.read(f"/{MODEL}/evaluation/samples?record={mine}&with={theirs}&show=different")
    assert page.count('class="card sample"') == 18
    assert "grace/rival" in page
    assert people.read(f"/{MODEL}/evaluation/samples?record={mine}").count('class="card sample"') == 2
    assert people.get(f"/grace/rival/evaluation/samples?record={mine}").status_code == 404


def test_a_doubt_is_public_and_only_admins_hide(signed: Field, people: People) -> None:
    here = f"/benchmarks/records/{record_of(signed)}"
    thread = people.do(here, "grace", action="flag", reason="The test rows are in its training data.")
    assert "The test rows are in its training data." in people.read(thread)
    assert "The test rows" in people.read(here)
    assert people.post(here, "ada", action="hide", hide_reason="mine").status_code == 403
    people.do(here, "root-admin", action="hide", hide_reason="Trained on the test rows.")
    assert MODEL not in people.read(f"{BOARD}?evidence=signed")
    assert "Trained on the test rows." in people.read(here)
    people.do(here, "root-admin", action="show")
    assert MODEL in people.read(f"{BOARD}?evidence=signed")


def test_records_of_private_models_are_nobody_elses(place: Field, people: People) -> None:
    place.create("ada/secret", visibility="private")
    place.push("ada/secret", {**WEIGHTS, **place.record(GOOD, model="ada/secret")[1]})
    record_id = record_of(place, "ada/secret")
    assert people.get(f"/benchmarks/records/{record_id}").status_code == 404
    assert people.get(f"/api/evaluation/records/{record_id}", "grace").status_code == 404
    assert people.get(f"/ada/secret/evaluation/samples?record={record_id}", "grace").status_code == 404
    assert "ada/secret" in people.read(BOARD, "ada")
    for path in (BOARD, f"{BOARD}?view=plots", f"{BOARD}/export/csv", f"/embed/leaderboard/{BENCHMARK}"):
        assert "secret" not in people.read(path, "grace")
    assert "secret" not in people.read("/benchmarks/log")
    assert "secret" not in people.read(f"/benchmarks/combined?b={BENCHMARK}:cloze", "grace")


def test_a_private_benchmark_leaks_neither_name_nor_board(place: Field, people: People) -> None:
    place.create("grace/hidden", "dataset", visibility="private")
    place.push("grace/hidden", {"eval.yaml": EVAL_YAML.replace(b"Tang cloze", b"Hidden test")})
    assert "Hidden test" not in people.read("/benchmarks", "ada")
    assert "Hidden test" in people.read("/benchmarks", "grace")
    assert people.get("/datasets/grace/hidden/leaderboard", "ada").status_code == 404
    assert people.get("/embed/leaderboard/grace/hidden", "grace").status_code == 404


def test_the_record_says_how_to_check_it(signed: Field, people: People) -> None:
    page = people.read(f"/benchmarks/records/{record_of(signed)}")
    assert "llmos eval verify record/.eval_results/bundles/" in page
    assert people.read("/benchmarks/key.pem").startswith("-----BEGIN PUBLIC KEY-----")
    record = people.get(f"/api/evaluation/records/{record_of(signed)}").json()
    assert record["log"]["tree_size"] == 2
    grown = people.get("/api/evaluation/log?first=1").json()
    assert len(grown["consistency"]) == 1
    assert people.get("/api/evaluation/log?first=9").status_code == 400


def test_admins_alone_choose_whom_to_trust(place: Field, people: People) -> None:
    pem = people.read("/benchmarks/key.pem")
    form = {"name": "Other", "url": "https://o.example.org", "public_key": pem}
    assert people.post("/benchmarks/instances", "ada", **form).status_code == 403
    assert (
        people.post("/benchmarks/instances", "root-admin", **{**form, "public_key": "x"}).status_code == 400
    )
    people.do("/benchmarks/instances", "root-admin", **form)
    assert "Other" in people.read("/benchmarks/instances")


def test_composite_boards_start_at_chance(signed: Field, people: People) -> None:
    page = people.read(f"/benchmarks/combined?b={BENCHMARK}:cloze")
    assert f"{(0.95 - 0.25) / 0.75:.3f}" in page
    assert "1/1" in page


def test_curves_need_several_revisions(signed: Field, people: People) -> None:
    _, again = signed.record(WORSE, revision=None, at=AT + timedelta(days=1))
    signed.push(MODEL, again)
    assert {row.evidence < REPRODUCED for row in signed.results()} == {True}
    assert "Over revisions" not in people.read(f"/{MODEL}/evaluation")
