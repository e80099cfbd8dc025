"""Result files of models and `eval.yaml` of benchmarks."""

from __future__ import annotations

import contextlib

import pytest
import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml, parse_eval_result_entries
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.features.repos.cards.eval_results import (
    EvalSpecError,
    eval_results_json,
    is_eval_result_path,
    parse_eval_result_file,
    parse_eval_results,
    parse_eval_spec,
)

GOOD = b"- dataset: {id: ada/tiny-bench, task_id: main}\n  value: 0.5\n"
SPEC = """name: Tiny
description: A tiny benchmark
evaluation_framework: lm-eval
tasks:
- id: main
- {id: hard, config: hard, split: validation, metric: acc}
"""


def test_client_entries_round_trip_through_the_api_shape() -> None:
    entry = EvalResultEntry(
        dataset_id="ada/tiny-bench",
        task_id="main",
        value=20.9,
        dataset_revision="a" * 40,
        verify_token="token",
        date="2026-01-15T10:30:00Z",
        source_url="https://example.org/log",
        source_name="log",
        source_user="ada",
        notes="no-tools",
    )
    content = yaml.dump(eval_result_entries_to_yaml([entry]))
    answer = eval_results_json(parse_eval_results({".eval_results/tiny.yaml": content}))
    assert answer[0]["filename"] == ".eval_results/tiny.yaml"
    assert parse_eval_result_entries(answer) == [entry]


def test_a_bad_file_does_not_hide_a_good_one() -> None:
    files = {
        ".eval_results/b.yaml": GOOD,
        ".eval_results/a.yml": b"- dataset: {id: x}\n",
        ".eval_results/deep/c.yaml": GOOD,
        "eval.yaml": b"",
    }
    answer = eval_results_json(parse_eval_results(files))
    assert [item["filename"] for item in answer] == [".eval_results/a.yml", ".eval_results/b.yaml"]
    assert '"[0].dataset.task_id" is required' in answer[0]["error"]
    assert len(parse_eval_result_entries(answer)) == 1


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "must be a list"),
        ("a: 1", "must be a list"),
        ("- 3", '"[0]" must be a mapping'),
        ("- [", "invalid yaml"),
        ("- value: 1", '"[0].dataset" must be a mapping'),
        ("- dataset: {id: a/b/c, task_id: t}\n  value: 1", '"[0].dataset.id" must be a data set'),
        ("- dataset: {id: ada/b, task_id: t}\n  value: high", '"[0].value" must be a finite'),
        ("- dataset: {id: ada/b, task_id: t}\n  value: true", '"[0].value" must be a finite'),
        ("- dataset: {id: ada/b, task_id: t}\n  value: .nan", '"[0].value" must be a finite'),
        (GOOD.decode() + "  date: soon", '"[0].date" must be an ISO 8601'),
        (GOOD.decode() + "  source: {name: log}", '"[0].source.url" is required'),
        (GOOD.decode() + "  source: {url: 'javascript:x'}", '"[0].source.url" must start with'),
        (GOOD.decode() + "  notes: [a]", '"[0].notes" must be a string'),
    ],
)
def test_result_errors(content: str, part: str) -> None:
    file = parse_eval_result_file(".eval_results/x.yaml", content)
    assert file.error is not None
    assert part in file.error
    assert file.entries == ()


def test_result_paths() -> None:
    assert is_eval_result_path(".eval_results/a.yaml")
    assert not is_eval_result_path("eval_results/a.yaml")
    assert not is_eval_result_path(".eval_results/a.json")


def test_eval_spec() -> None:
    spec = parse_eval_spec(SPEC)
    assert (spec.name, spec.evaluation_framework, spec.warnings) == ("Tiny", "lm-eval", ())
    assert [(task.id, task.config, task.split) for task in spec.tasks] == [
        ("main", None, "test"),
        ("hard", "hard", "validation"),
    ]
    assert spec.tasks[1].settings == {"metric": "acc"}


def test_unknown_framework_is_only_a_warning() -> None:
    assert parse_eval_spec(SPEC.replace("lm-eval", "my-own")).warnings


def test_inspect_task_needs_its_fields() -> None:
    text = SPEC.replace("lm-eval", "inspect-ai")
    with pytest.raises(EvalSpecError, match=r"tasks\[0\]\.field_spec"):
        parse_eval_spec(text)
    task = """- id: main
  field_spec: {input: question, target: answer}
  solvers: [{name: generate}]
  scorers: [{name: match}]
"""
    head = text.split("- id: main")[0]
    assert parse_eval_spec(head + task).tasks[0].settings["scorers"] == [{"name": "match"}]
    with pytest.raises(EvalSpecError, match='"solvers" and "scorers"'):
        parse_eval_spec(head + task + "  scorer: [{name: match}]\n")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", '"eval.yaml.name" is required'),
        ("- a", '"eval.yaml.name" is required'),
        ("a: [", "eval.yaml: "),
        (SPEC.replace("id: main", "id: hard"), "ids must differ"),
        (SPEC.split("tasks:", maxsplit=1)[0] + "tasks: []", "at least one task"),
        (SPEC.split("tasks:", maxsplit=1)[0] + "tasks: [3]", '"tasks[0]" must be a mapping'),
    ],
)
def test_eval_spec_errors(text: str, part: str) -> None:
    with pytest.raises(EvalSpecError) as caught:
        parse_eval_spec(text)
    assert part in caught.value.message
    assert caught.value.status == 400


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.text("-:{}[] adtsk_iv\n1", max_size=120))
def test_any_content_is_answered(content: bytes | str) -> None:
    parse_eval_result_file(".eval_results/x.yaml", content)
    with contextlib.suppress(EvalSpecError):
        parse_eval_spec(content)
