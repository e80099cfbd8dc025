"""Messages about evaluations: what people write is helped, what is signed is taken exactly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from llmos.wire.evaluation import Envelope, MetricValue, Sample, Statement, Subject
from llmos.wire.evaluation_recipe import EvaluationRecipe

MODEL = {"repo": "ada/tiny-llm", "revision": "main"}
BENCHMARK = {"repo": "ada/tang-cloze", "task_id": "cloze"}


def recipe(**evaluation: Any) -> EvaluationRecipe:
    return EvaluationRecipe.model_validate({"evaluation": evaluation})


def test_examples_are_what_they_show() -> None:
    schema = EvaluationRecipe.model_json_schema()
    for example in schema["examples"]:
        read = EvaluationRecipe.model_validate(example)
        assert EvaluationRecipe.model_validate_json(read.model_dump_json()) == read
        assert read.model_dump(exclude_unset=True) == example


@pytest.mark.parametrize(
    ("evaluation", "word"),
    [
        ({"benchmark": BENCHMARK}, "model or endpoint"),
        ({"model": MODEL}, "benchmark or task"),
        (
            {"model": MODEL, "endpoint": {"url": "http://x", "model": "m"}, "benchmark": BENCHMARK},
            "not model and",
        ),
        ({"model": {"dtype": "float32"}, "benchmark": BENCHMARK}, "repo or path"),
        ({"model": {"repo": "a/b", "path": "x"}, "benchmark": BENCHMARK}, "not repo and path"),
        ({"model": MODEL, "task": {"kind": "perplexity"}}, "needs files"),
        ({"model": MODEL, "task": {"kind": "perplexity", "file": "a.yaml", "files": ["x"]}}, "exactly one"),
        ({"model": MODEL, "benchmark": BENCHMARK, "limit": 0}, "limit"),
        ({"model": MODEL, "benchmark": BENCHMARK, "few_shot": 5}, "few_shot"),
        ({"model": MODEL, "benchmark": BENCHMARK, "temperature": float("nan")}, "temperature"),
        ({"endpoint": {"url": "file:///etc/passwd", "model": "m"}, "benchmark": BENCHMARK}, "url"),
    ],
)
def test_a_recipe_that_says_too_little_or_too_much(evaluation: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        recipe(**evaluation)


def test_a_recipe_is_helped_where_it_is_clear() -> None:
    plan = recipe(model=MODEL, benchmark=BENCHMARK, limit="100").evaluation
    assert (plan.limit, plan.seed, plan.batch_size) == (100, 17, 0)


@pytest.mark.parametrize(
    "change",
    [{"value": "0.5"}, {"value": float("nan")}, {"n": 3.0}, {"n": -1}, {"name": ""}, {"more": 1}],
)
def test_signed_values_are_taken_exactly(change: dict[str, Any]) -> None:
    good = {"name": "accuracy", "value": 0.5, "n": 3}
    MetricValue.model_validate(good)
    with pytest.raises(ValidationError):
        MetricValue.model_validate(good | change)


def test_numbers_that_are_none_stand_in_samples_only() -> None:
    sample = {"id": "0", "row_sha256": "0" * 64, "prompt_sha256": "0" * 64, "prompt": ""}
    assert Sample.model_validate(sample | {"logprobs": [float("-inf")]}).logprobs == [float("-inf")]
    with pytest.raises(ValidationError):
        Sample.model_validate(sample | {"row_sha256": "0" * 63 + "G"})


def test_names_outside_are_those_of_the_standards() -> None:
    envelope = Envelope.model_validate_json(
        json.dumps(
            {
                "payloadType": "application/vnd.in-toto+json",
                "payload": "e30=",
                "signatures": [{"keyid": "0" * 64, "sig": ""}],
            }
        )
    )
    assert json.loads(envelope.model_dump_json())["payloadType"] == "application/vnd.in-toto+json"
    subject = Subject.model_validate({"name": "a", "digest": {"sha256": "0" * 64}})
    fields = Statement.model_construct(subject=[subject]).model_dump(exclude={"predicate"}, warnings=False)
    assert fields["_type"] == "https://in-toto.io/Statement/v1"
    assert fields["predicateType"] == "urn:llmos:evaluation:v1"
