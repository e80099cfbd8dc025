"""An `eval.yaml` of inspect-ai is accepted exactly when inspect-ai accepts it: by board and lab alike."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from llmos.features.repos.cards.eval_results import EvalSpecError, parse_eval_spec
from llmos.lab.evaluate.tasks.inspect_ai import check_inspect
from llmos.lab.evaluate.tasks.ours import read_spec
from llmos.lab.evaluate.tasks.schema import TaskError

FIELDS = "field_spec: {input: question, target: answer}"
SOLVERS, SCORERS = "solvers: [{name: generate}]", "scorers: [{name: match}]"


def task(*more: str, fields: str = FIELDS, solvers: str = SOLVERS, scorers: str = SCORERS) -> str:
    lines = [line for line in (fields, solvers, scorers, *more) if line]
    return "- " + "\n  ".join(lines) + "\n"


def spec(*tasks: str, head: str = "name: A\ndescription: B\n") -> str:
    return f"{head}evaluation_framework: inspect-ai\ntasks:\n{''.join(tasks)}"


# What inspect-ai 0.3.285 says of each; `test_inspect_itself_says_so` asks it again.
CORPUS: dict[str, tuple[str, bool]] = {
    "plain": (spec(task("id: a")), True),
    "no id": (spec(task()), True),
    "no name": (spec(task(), head=""), True),
    "two tasks": (spec(task("id: a"), task("id: b")), True),
    "two tasks, no id": (spec(task("id: a"), task()), False),
    "two tasks of one id": (spec(task("id: a"), task("id: a")), True),
    "id is a number": (spec(task("id: 3")), False),
    "id is empty": (spec(task('id: ""')), True),
    "no tasks": ("evaluation_framework: inspect-ai\n", False),
    "empty tasks": ("evaluation_framework: inspect-ai\ntasks: []\n", False),
    "tasks is a mapping": ("evaluation_framework: inspect-ai\ntasks: {id: a}\n", False),
    "tasks is text": ("evaluation_framework: inspect-ai\ntasks: abc\n", False),
    "task is text": (spec("- a\n"), False),
    "task is null": (spec("-\n"), False),
    "config and split": (spec(task("config: en", "split: dev")), True),
    "config is null": (spec(task("config: null")), False),
    "split is a number": (spec(task("split: 3")), False),
    "split is no": (spec(task("split: no")), False),
    "split is a date": (spec(task("split: 2024-01-01")), False),
    "split is a broken date": (spec(task("split: 2024-13-41")), False),
    "no field_spec": (spec(task(fields="")), False),
    "field_spec is null": (spec(task(fields="field_spec: null")), False),
    "field_spec is empty": (spec(task(fields="field_spec: {}")), True),
    "input is a list": (spec(task(fields="field_spec: {input: [a]}")), False),
    "unknown column": (spec(task(fields="field_spec: {inputs: a}")), False),
    "choices in one column": (spec(task(fields="field_spec: {choices: options}")), True),
    "choices in columns": (spec(task(fields="field_spec: {choices: [a, b]}")), True),
    "choices is a number": (spec(task(fields="field_spec: {choices: 4}")), False),
    "metadata": (spec(task(fields="field_spec: {metadata: [a]}")), True),
    "metadata is text": (spec(task(fields="field_spec: {metadata: a}")), False),
    "image": (spec(task(fields="field_spec: {input_image: a}")), True),
    "description": (spec(task(fields="field_spec: {description: a, checkpoint: null}")), True),
    "description is a number": (spec(task(fields="field_spec: {description: 1}")), False),
    "no solvers": (spec(task(solvers="")), False),
    "empty solvers": (spec(task(solvers="solvers: []")), False),
    "solvers is a mapping": (spec(task(solvers="solvers: {name: generate}")), False),
    "unknown solver": (spec(task(solvers="solvers: [{name: basic_agent}]")), False),
    "solver without a name": (spec(task(solvers="solvers: [{args: {}}]")), False),
    "solver as text": (spec(task(solvers="solvers: [generate]")), False),
    "solver with more": (spec(task(solvers="solvers: [{name: generate, args: {a: 1}, b: 2}]")), True),
    "args is a list": (spec(task(solvers="solvers: [{name: generate, args: [1]}]")), False),
    "args is null": (spec(task(solvers="solvers: [{name: generate, args: null}]")), False),
    "no scorers": (spec(task(scorers="")), False),
    "unknown scorer": (spec(task(scorers="scorers: [{name: bleu}]")), False),
    "math": (spec(task(scorers="scorers: [{name: math}]")), True),
    "all scorers": (spec(task(scorers="scorers: [{name: f1}, {name: choice}, {name: pattern}]")), True),
    "scorer": (spec(task("scorer: [{name: match}]")), False),
    "unknown field": (spec(task("fewshot: 3")), False),
    "epochs": (spec(task("epochs: 4", "epoch_reducer: pass_at_2")), True),
    "epochs as text": (spec(task('epochs: "4"')), True),
    "epochs is 0": (spec(task("epochs: 0")), False),
    "epochs is a fraction": (spec(task("epochs: 1.5")), False),
    "epochs is a whole fraction": (spec(task("epochs: 2.0")), True),
    "unknown reducer": (spec(task("epoch_reducer: average")), False),
    "reducer and a line": (spec(task('epoch_reducer: "mode\\n"')), False),
    "shuffle": (spec(task("shuffle_choices: yes")), True),
    "shuffle as text": (spec(task('shuffle_choices: "yes"')), True),
    "shuffle perhaps": (spec(task("shuffle_choices: perhaps")), False),
    "Chinese": (spec(task("id: 唐诗", fields="field_spec: {input: 问题, target: 答案}")), True),
    "anchor": (spec(task("id: &a b", "config: *a")), True),
    "written twice": (spec(task("id: a", "id: b")), True),
    "not YAML": (spec(task()) + "a: [", False),
    "a list": ("- evaluation_framework: inspect-ai\n", False),
    "a tag": (spec(task("id: !!python/name:os.system ''")), False),
}


def is_taken_by_board(text: str) -> bool:
    try:
        return bool(parse_eval_spec(text).tasks)
    except EvalSpecError:
        return False


def is_taken_by_lab(path: Path) -> bool:
    try:
        tasks = read_spec(path)["tasks"]
        made = [check_inspect(fields, "eval.yaml") for fields in tasks]
    except TaskError:
        return False
    return len(made) == 1 or all(one.id is not None for one in made)


@pytest.mark.parametrize("name", CORPUS)
def test_accepted_exactly_when_inspect_accepts(name: str, tmp_path: Path) -> None:
    text, is_accepted = CORPUS[name]
    assert is_taken_by_board(text) is is_accepted
    (tmp_path / "eval.yaml").write_text(text, encoding="utf-8")
    assert is_taken_by_lab(tmp_path / "eval.yaml") is is_accepted


@pytest.mark.slow
def test_inspect_itself_says_so(tmp_path: Path) -> None:
    python = os.environ.get("LLMOS_INSPECT_PYTHON")
    if not python:
        pytest.skip("LLMOS_INSPECT_PYTHON names no Python with inspect-ai")
    for name, (text, _) in CORPUS.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    script = Path(__file__).with_name("inspect_verdict.py")
    done = subprocess.run([python, script, tmp_path], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told == {name: is_accepted for name, (_, is_accepted) in CORPUS.items()}
