"""From files to boards: what counts as signed, what does not and why, what stays."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from features.evals.conftest import BENCHMARK, MODEL, Field
from kit.model_records import AT, EVAL_YAML, WEIGHTS, result_file
from llmos.core.errors import Forbidden
from llmos.features.discussions.policy import access_thread
from llmos.features.discussions.threads import set_status
from llmos.features.evals.boards import list_benchmarks
from llmos.features.evals.instances import add_instance
from llmos.features.evals.log import count_entries, get_entry, log_own_bundle, prove
from llmos.features.evals.models import COMMUNITY, REPRODUCED, SELF_REPORTED, SIGNED
from llmos.features.evals.said import said
from llmos.features.repos.access_settings import update_settings
from llmos.features.repos.indexing import reindex_repo
from llmos.features.repos.models import Repo
from llmos.records.bundle import parse_statement
from llmos.records.envelope import payload_of
from llmos.records.keys import create_private_key
from llmos.records.merkle import leaf_hash, verify_inclusion
from llmos.wire.evaluation import Envelope

RESULT = ".eval_results/tang.yaml"
MOSTLY = [True] * 8 + [False] * 2


def test_a_data_set_with_eval_yaml_is_a_benchmark_and_no_longer_without(place: Field) -> None:
    with place.rt.database.reading() as db:
        (found,) = list_benchmarks(db, place.people["ada"])
    assert (found.title, found.task_id, found.language, found.metric) == (
        "Tang cloze", "cloze", "zh", "accuracy",
    )  # fmt: skip
    assert (found.chance, found.ceiling, found.higher_is_better) == (0.25, 1.0, True)
    place.push(BENCHMARK, {"eval.yaml": None, "README.md": b"# Gone\n"})
    with place.rt.database.reading() as db:
        assert list_benchmarks(db, place.people["ada"]) == []


def test_a_line_in_a_file_is_self_reported(place: Field) -> None:
    place.push(MODEL, {RESULT: result_file(BENCHMARK, 0.75, notes="first try")})
    (row,) = place.board()
    assert (row.model_name, row.value, row.evidence, row.notes) == (MODEL, 0.75, SELF_REPORTED, "first try")


def test_a_signed_bundle_counts_and_is_logged_with_a_proof(place: Field) -> None:
    record_id, files = place.record(MOSTLY)
    place.push(MODEL, files)
    (row,) = place.board()
    assert (row.value, row.evidence, row.record_id, row.signer_name) == (0.8, SIGNED, record_id, "")
    assert (row.n, row.low, row.energy_wh, row.joules_per_token) == (10, pytest.approx(0.7), 0.5, 2.25)
    with place.rt.database.reading() as db:
        entry = get_entry(db, record_id)
        assert entry is not None
        proof = prove(db, place.rt, entry)
        payload = payload_of(Envelope.model_validate_json(entry.envelope))
    assert parse_statement(payload).predicate.record_id == record_id
    path = [bytes.fromhex(step) for step in proof.proof]
    assert verify_inclusion(leaf_hash(payload), 0, 1, path, bytes.fromhex(proof.root))


def test_a_record_logged_by_command_learns_where_its_files_are(place: Field) -> None:
    record_id, files = place.record(MOSTLY)
    proof = log_own_bundle(place.rt, place.tmp / str(place.made) / "bundle")
    place.push(MODEL, files)
    with place.rt.database.reading() as db:
        entry = get_entry(db, record_id)
        assert entry is not None
        assert (count_entries(db), proof.leaf_index, entry.leaf_index) == (1, 0, 0)
        assert (entry.repo_id, entry.bundle_path) == (
            place.repos[MODEL].id, f".eval_results/bundles/{record_id}",
        )  # fmt: skip
    place.push(MODEL, dict.fromkeys(files))
    (row,) = place.board()
    assert (row.record_id, row.is_in_tree) == (record_id, False)


def test_a_result_file_describes_the_record_it_names(place: Field) -> None:
    record_id, files = place.record(MOSTLY)
    token = f"llmos:v1:{'0' * 64}:{record_id}"
    place.push(MODEL, files | {RESULT: result_file(BENCHMARK, 0.8, verifyToken=token, notes="by job")})
    (row,) = place.results()
    assert (row.evidence, row.filename, row.notes) == (SIGNED, RESULT, "by job")


@pytest.mark.parametrize(
    ("value", "token", "doubt"),
    [
        (0.9, "llmos:v1:key:{record}", "says something else: 0.8"),
        (0.8, "llmos:v1:key:" + "f" * 32, "no record"),
        (0.8, "eyJhbGciOiJIUzI1NiJ9.e30.abc", "another site"),
    ],
)
def test_a_forged_token_makes_no_signed_result(place: Field, value: float, token: str, doubt: str) -> None:
    record_id, files = place.record(MOSTLY)
    line = result_file(BENCHMARK, value, verifyToken=token.format(record=record_id))
    place.push(MODEL, files | {RESULT: line})
    (row,) = [row for row in place.results() if row.filename == RESULT]
    assert row.evidence == SELF_REPORTED
    assert doubt in said(row.doubt)


def test_a_record_of_another_model_is_refused(place: Field) -> None:
    record_id, files = place.record(MOSTLY)
    place.push(MODEL, files)
    place.create("grace/copycat")
    line = result_file(BENCHMARK, 0.8, verifyToken=f"llmos:v1:k:{record_id}")
    other = {**WEIGHTS, "model.safetensors": b"other weights"}
    place.push("grace/copycat", {**other, **files, RESULT: line})
    (row,) = place.results("grace/copycat")
    assert row.evidence == SELF_REPORTED
    assert "model.safetensors differs" in said(row.doubt)
    # The same weights do not make the record one of the copy either.
    place.push("grace/copycat", dict(WEIGHTS))
    (row,) = place.results("grace/copycat")
    assert row.evidence == SELF_REPORTED
    assert "of another model: ada/tiny-llm" in said(row.doubt)


def test_changed_samples_and_changed_statements_prove_nothing(place: Field) -> None:
    record_id, files = place.record(MOSTLY)
    folder = f".eval_results/bundles/{record_id}"
    line = result_file(BENCHMARK, 0.8, verifyToken=f"llmos:v1:k:{record_id}")
    place.push(MODEL, {**files, f"{folder}/samples.parquet": b"PAR1 others", RESULT: line})
    assert "samples were changed" in said(place.results()[0].doubt)
    envelope = json.loads(files[f"{folder}/envelope.json"])
    envelope["signatures"][0]["sig"] = "A" * 86 + "=="
    place.push(MODEL, {**files, f"{folder}/envelope.json": json.dumps(envelope).encode()})
    assert "signed by nobody" in said(place.results()[0].doubt)
    assert {row.evidence for row in place.results()} == {SELF_REPORTED}


def test_another_instance_counts_once_an_admin_trusts_it(place: Field) -> None:
    other = create_private_key()
    record_id, files = place.record(MOSTLY, key=other)
    line = result_file(BENCHMARK, 0.8, verifyToken=f"llmos:v1:k:{record_id}")
    place.push(MODEL, files | {RESULT: line})
    assert [row.evidence for row in place.results()] == [SELF_REPORTED]
    with place.rt.database.writing() as db, pytest.raises(Forbidden):
        add_instance(db, place.people["ada"], "Other", "", other.public.to_pem())
    with place.rt.database.writing() as db:
        add_instance(db, place.people["root-admin"], "Other", "https://o.example.org", other.public.to_pem())
    reindex_repo(place.rt, place.repos[MODEL].id)
    (row,) = place.results()
    assert (row.evidence, row.signer_name) == (SIGNED, "Other")


def test_two_parties_that_agree_reproduce_a_score_and_one_alone_does_not(place: Field) -> None:
    other = create_private_key()
    with place.rt.database.writing() as db:
        add_instance(db, place.people["root-admin"], "Other", "", other.public.to_pem())
    first, files = place.record(MOSTLY)
    again, more = place.record(MOSTLY, at=AT + timedelta(hours=1))
    assert first != again
    place.push(MODEL, {**files, **more})
    assert {row.evidence for row in place.results()} == {SIGNED}
    _, theirs = place.record(MOSTLY, key=other, at=AT + timedelta(hours=2))
    place.push(MODEL, theirs)
    assert {(row.evidence, row.confirmations) for row in place.results()} == {(REPRODUCED, 1)}
    _, differs = place.record([True] * 9 + [False], key=create_private_key(), at=AT + timedelta(hours=3))
    place.push(MODEL, differs)
    assert {row.value for row in place.results()} == {0.8}


def test_authors_cannot_take_a_signed_record_off_the_board(place: Field) -> None:
    record_id, files = place.record(MOSTLY)
    place.push(MODEL, files)
    place.push(MODEL, dict.fromkeys(files))
    (row,) = place.board()
    assert (row.record_id, row.is_in_tree, row.evidence) == (record_id, False, SIGNED)
    reindex_repo(place.rt, place.repos[MODEL].id)
    assert [row.record_id for row in place.board()] == [record_id]
    with place.rt.database.reading() as db:
        assert count_entries(db) == 1


def test_a_pull_request_shows_as_community_until_it_is_closed(place: Field) -> None:
    done = place.push(MODEL, {RESULT: result_file(BENCHMARK, 0.5)}, by="grace", pull=True)
    (row,) = place.board()
    assert (row.evidence, row.pull_num) == (COMMUNITY, done.pull_num)
    place.push(MODEL, {RESULT: result_file(BENCHMARK, 0.6)}, by="grace", rev=f"refs/pr/{done.pull_num}")
    assert [row.value for row in place.board()] == [0.6]
    _close(place, done.pull_num)
    assert place.board() == []


def test_a_signed_record_outlives_the_pull_request_that_brought_it(place: Field) -> None:
    record_id, files = place.record(MOSTLY)
    done = place.push(MODEL, files, by="grace", pull=True)
    assert [row.evidence for row in place.board()] == [SIGNED]
    _close(place, done.pull_num)
    assert [(row.record_id, row.pull_num, row.is_in_tree) for row in place.board()] == [(record_id, 0, False)]


def _close(place: Field, num: int) -> None:
    with place.rt.database.writing() as db:
        repo = db.get(Repo, place.repos[MODEL].id)
        assert repo is not None
        set_status(db, place.people["ada"], access_thread(db, place.people["ada"], repo, num), "closed")
    place.deliver()


def test_signed_stands_above_a_larger_number_nobody_signed(place: Field) -> None:
    _, files = place.record(MOSTLY)
    place.push(MODEL, {**files, RESULT: result_file(BENCHMARK, 0.99)})
    assert [(row.value, row.evidence) for row in place.board()] == [(0.8, SIGNED)]
    assert len(place.results()) == 2


def test_private_models_are_on_no_board_but_their_owners(place: Field) -> None:
    place.push(MODEL, {RESULT: result_file(BENCHMARK, 0.75)})
    with place.rt.database.reading() as db:
        assert [item.model_count for item in list_benchmarks(db, place.people["grace"])] == [1]
    with place.rt.database.writing() as db:
        repo = db.get(Repo, place.repos[MODEL].id)
        assert repo is not None
        update_settings(db, place.people["ada"], repo, visibility="private")
    place.deliver()
    assert place.board() == place.board("grace") == []
    assert len(place.board("ada")) == 1
    with place.rt.database.reading() as db:
        assert [item.model_count for item in list_benchmarks(db, place.people["grace"])] == [0]


def test_results_wait_for_a_data_set_that_comes_later(place: Field) -> None:
    place.push(MODEL, {RESULT: result_file("grace/late", 12.5, "lm")})
    place.create("grace/late", "dataset")
    text = EVAL_YAML.replace(b"accuracy", b"perplexity").replace(b"cloze", b"lm")
    place.push("grace/late", {"eval.yaml": text})
    (row,) = place.results()
    assert row.dataset_id == place.repos["grace/late"].id
    assert (row.metric, row.order_value) == ("perplexity", -12.5)
