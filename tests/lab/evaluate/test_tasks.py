"""Task files of three kinds, the questions they make, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmos.lab.evaluate.opening import OpenedTask, open_task
from llmos.lab.evaluate.outcomes import Outcome
from llmos.lab.evaluate.tasks.inspect_ai import check_inspect, from_inspect
from llmos.lab.evaluate.tasks.lm_eval import read_lm_eval
from llmos.lab.evaluate.tasks.measures import measures_of
from llmos.lab.evaluate.tasks.ours import list_tasks
from llmos.lab.evaluate.tasks.schema import DEFAULT_METRICS, TaskError
from llmos.wire.evaluation_recipe import EvaluationPlan

ROWS = [
    {"question": f"What grows in bed {n}?", "options": ["beans", "peas", "maize"], "answer": n % 3}
    for n in range(6)
]
OURS = {
    "id": "garden",
    "kind": "multiple_choice",
    "prompt": "{{question}}\n",
    "choices": "{{options}}",
    "target": "{{answer}}",
}


def benchmark(
    folder: Path, task: dict[str, Any], *, rows: list[dict[str, Any]] | None = None, **top: Any
) -> Path:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in (ROWS if rows is None else rows)]
        (folder / "data" / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    spec = {"name": "Garden", "evaluation_framework": "llmos", "tasks": [task]} | top
    (folder / "eval.yaml").write_text(yaml.safe_dump(spec, allow_unicode=True), encoding="utf-8")
    return folder


def opened(folder: Path, **plan: Any) -> OpenedTask:
    fields = {"model": {"path": "nowhere"}, "benchmark": {"path": str(folder)}} | plan
    return open_task(EvaluationPlan.model_validate(fields), folder)


def refused(folder: Path, **plan: Any) -> str:
    with pytest.raises(TaskError) as caught:
        opened(folder, **plan)
    return caught.value.message


# Ours


def test_questions_of_ours(tmp_path: Path) -> None:
    found = opened(benchmark(tmp_path, OURS), limit=4)
    assert [q.id for q in found.questions] == ["test/0", "test/1", "test/2", "test/3"]
    question = found.questions[1]
    assert question.context == "What grows in bed 1?\n"
    assert question.continuations == ["beans", "peas", "maize"]
    assert question.target == 1


@pytest.mark.parametrize("split", ["train", "test"])
def test_examples_are_the_same_for_all_and_never_the_question(tmp_path: Path, split: str) -> None:
    rows = [{**row, "question": f"{row['question']} {n}"} for n, row in enumerate(ROWS)]
    folder = benchmark(tmp_path, OURS | {"fewshot": {"count": 2, "split": split}}, rows=rows)
    questions = opened(folder).questions
    seen = {tuple(q.fewshot_ids) for q in questions}
    assert all(len(q.fewshot_ids) == 2 and q.id not in q.fewshot_ids for q in questions)
    assert all(q.row["question"] not in q.context[: -len(q.row["question"]) - 1] for q in questions)
    assert len(seen) <= 3
    assert {tuple(q.fewshot_ids) for q in opened(folder, seed=1).questions} != seen
    assert questions[0].context.count("\n\n") == 2
    assert opened(folder, fewshot=0).questions[0].fewshot_ids == []


def test_targets_by_text_and_by_number(tmp_path: Path) -> None:
    rows = [{"question": "?", "options": ["a", "b"], "answer": answer} for answer in ("b", 1, "1", [0, 1])]
    assert [q.target for q in opened(benchmark(tmp_path, OURS, rows=rows)).questions] == [1, 1, 1, [0, 1]]


@pytest.mark.parametrize(
    ("task", "plan", "message"),
    [
        ({"kind": "riddle"}, {}, "tasks.0: kind"),
        ({"prompt": None}, {}, "a task of kind multiple_choice needs `prompt`"),
        ({"promt": "x"}, {}, "tasks.0: promt: this field is not known"),
        ({"split": "validation"}, {}, 'has no split "validation"; it has: '),
        ({"prompt": "{{quetsion}}"}, {}, "prompt: the template does not fit sample test/0"),
        ({"prompt": "{{quetsion}}"}, {}, "The row has: question, options, answer"),
        ({"prompt": "{{ ''.__class__.mro() }}"}, {}, "unsafe"),
        ({"prompt": "{% if %}"}, {}, "prompt: the template does not fit"),
        ({"target": "{{answer + 7}}"}, {}, "none of its 3 choices"),
        ({"choices": "{{question}}"}, {}, "choices: sample test/0 has no list of choices"),
        ({"metrics": ["accurracy"]}, {}, "metrics: No metric is called accurracy"),
        ({"fewshot": {"count": 7}}, {}, "7 examples are wanted and there are 6 rows"),
        ({}, {"benchmark": {"path": "…"}}, "There is no folder"),
        ({}, {"context_policy": "stride"}, "stride does not fit a task of kind multiple_choice"),
        ({}, {"metrics": ["nope"]}, "No metric is called nope"),
    ],
)
def test_refusals_name_the_field(
    tmp_path: Path, task: dict[str, Any], plan: dict[str, Any], message: str
) -> None:
    assert message in refused(benchmark(tmp_path, OURS | task), **plan)


def test_empty_references_are_refused(tmp_path: Path) -> None:
    task = {"kind": "generation", "prompt": "{{q}}", "target": "{{wanted}}"}
    for wanted in ("", [], ["", " "], None):
        folder = benchmark(tmp_path, task, rows=[{"q": "a", "wanted": "x"}, {"q": "b", "wanted": wanted}])
        assert "target: sample test/1 has no reference" in refused(folder)


def test_unanswerable_questions_of_qa_want_nothing(tmp_path: Path) -> None:
    task = {"kind": "qa", "question": "{{q}}", "passage": "{{p}}", "target": "{{answers}}"}
    rows = [
        {"q": "?", "p": "x", "answers": {"text": ["a", "b"]}},
        {"q": "?", "p": "x", "answers": {"text": []}},
    ]
    found = opened(benchmark(tmp_path, task, rows=rows)).questions
    assert [q.references for q in found] == [["a", "b"], [""]]


def test_a_benchmark_of_several_tasks_wants_one_named(tmp_path: Path) -> None:
    folder = benchmark(tmp_path, OURS)
    spec = yaml.safe_load((folder / "eval.yaml").read_text())
    spec["tasks"].append(OURS | {"id": "second"})
    (folder / "eval.yaml").write_text(yaml.safe_dump(spec))
    assert "has several tasks, name one: garden, second" in refused(folder)
    assert opened(folder, benchmark={"path": str(folder), "task_id": "second"}).task.id == "second"


@pytest.mark.parametrize(
    "text", ["", "tasks: 3", "tasks: []", "a: [", "tasks: [x]", "tasks: [{id: a}, {kind: x}]"]
)
def test_broken_specs_are_refused(tmp_path: Path, text: str) -> None:
    folder = benchmark(tmp_path, OURS)
    (folder / "eval.yaml").write_text(text)
    assert "eval.yaml" in refused(folder)


# inspect-ai's

INSPECT: dict[str, Any] = {
    "field_spec": {"input": "question", "target": "answer", "choices": "options"},
    "solvers": [{"name": "multiple_choice"}],
    "scorers": [{"name": "choice"}],
}


@pytest.mark.parametrize(
    ("change", "is_good"),
    [
        ({}, True),
        ({"id": "x", "config": "en", "split": "train", "epochs": 3, "epoch_reducer": "pass_at_2"}, True),
        ({"shuffle_choices": True, "epoch_reducer": "mode"}, True),
        ({"field_spec": {"input": "q", "choices": ["a", "b"], "input_image": "i", "metadata": ["m"]}}, True),
        ({"solvers": [{"name": "generate", "args": {"x": 1}, "other": 2}]}, True),
        ({"scorers": [{"name": "model_graded_qa"}, {"name": "pattern"}]}, True),
        ({"field_spec": None}, False),
        ({"field_spec": {"inputs": "q"}}, False),
        ({"solvers": []}, False),
        ({"scorers": []}, False),
        ({"solvers": [{"name": "basic_agent"}]}, False),
        ({"scorers": [{"name": "bleu"}]}, False),
        ({"scorer": [{"name": "choice"}]}, False),
        ({"epochs": 0}, False),
        ({"epoch_reducer": "average"}, False),
        ({"shuffle_choices": "perhaps"}, False),
        ({"split": 3}, False),
    ],
)
def test_inspect_tasks_are_taken_as_inspect_takes_them(change: dict[str, Any], is_good: bool) -> None:
    fields = {**INSPECT, **change}
    if is_good:
        check_inspect(fields, "eval.yaml")
    else:
        with pytest.raises(TaskError, match=r"eval\.yaml"):
            check_inspect(fields, "eval.yaml")


def test_inspect_choices_are_letters(tmp_path: Path) -> None:
    folder = benchmark(tmp_path, INSPECT, evaluation_framework="inspect-ai")
    question = opened(folder).questions[2]
    assert question.context == "What grows in bed 2?\n\nA) beans\nB) peas\nC) maize\n\nANSWER:"
    assert question.continuations == [" A", " B", " C"]
    assert question.target == 2


def test_inspect_generation_with_its_scorers(tmp_path: Path) -> None:
    task = {
        "field_spec": {"input": "question", "target": "literal:beans"},
        "solvers": [{"name": "system_message", "args": {"template": "Be brief."}}, {"name": "generate"}],
        "scorers": [{"name": "match"}, {"name": "includes"}, {"name": "exact"}, {"name": "f1"}],
    }
    found = opened(benchmark(tmp_path, task, evaluation_framework="inspect-ai"))
    assert found.questions[0].messages()[0] == {"role": "system", "content": "Be brief."}
    outcome = Outcome(id="a", target="beans", references=["beans"], output="There grow Beans.")
    scores = {k: v for m in found.measures for k, v in m.metric.scores([outcome])[0].items()}
    assert scores["match"] == 1
    assert scores["includes"] == 1
    assert scores["squad_em"] == 0


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"epochs": 2}, "epochs"),
        ({"shuffle_choices": True}, "shuffle_choices"),
        ({"solvers": [{"name": "chain_of_thought"}, {"name": "generate"}]}, "chain_of_thought"),
        ({"solvers": [{"name": "generate"}], "scorers": [{"name": "model_graded_qa"}]}, "model_graded_qa"),
    ],
)
def test_what_only_inspect_can_run_is_said(change: dict[str, Any], what: str) -> None:
    with pytest.raises(
        TaskError, match=f"{what} is accepted but not run here; run this task with inspect-ai"
    ):
        from_inspect({**INSPECT, **change}, "eval.yaml")


def test_other_frameworks_are_not_run() -> None:
    with pytest.raises(TaskError, match='evaluation_framework: "helm" is none that runs here'):
        list_tasks({"evaluation_framework": "helm", "tasks": [{"id": "a"}]})


# lm-evaluation-harness's


def lm_eval_task(folder: Path, text: str, rows: list[dict[str, Any]] | None = None) -> OpenedTask:
    lines = [json.dumps(row) + "\n" for row in (ROWS if rows is None else rows)]
    (folder / "rows.jsonl").write_text("".join(lines))
    (folder / "task.yaml").write_text(text)
    fields = {"model": {"path": "nowhere"}, "task": {"file": "task.yaml"}}
    return open_task(EvaluationPlan.model_validate(fields), folder)


HEAD = """
dataset_path: json
dataset_kwargs: {data_files: {train: rows.jsonl, test: rows.jsonl}}
test_split: test
"""


def test_lm_eval_choices_and_examples(tmp_path: Path) -> None:
    found = lm_eval_task(
        tmp_path,
        HEAD
        + """
task: garden
description: "About {{question[:4]}}.\\n\\n"
output_type: multiple_choice
training_split: train
num_fewshot: 1
fewshot_config: {sampler: first_n}
doc_to_text: "Q: {{question}}\\nA:"
doc_to_choice: options
doc_to_target: answer
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
    )
    question = found.questions[1]
    assert question.context == (
        "About What.\n\nQ: What grows in bed 0?\nA: beans\n\nQ: What grows in bed 1?\nA:"
    )
    assert question.continuations == [" beans", " peas", " maize"]
    assert (question.target, question.fewshot_ids) == (1, ["train/0"])
    assert [m.metric.name for m in found.measures] == ["accuracy", "acc_norm"]


def test_lm_eval_includes(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        HEAD
        + "output_type: generate_until\ndoc_to_text: '{{question}}'\ndoc_to_target: '{{options[answer]}}'\n"
        "generation_kwargs: {until: ['.'], max_gen_toks: 9}\nmetadata: {version: 1.0}\n"
    )
    found = lm_eval_task(tmp_path, "include: base.yaml\ntask: own\ntarget_delimiter: ''\n")
    assert (found.task.id, found.task.stop, found.task.max_new_tokens) == ("own", ["."], 9)
    assert [q.references for q in found.questions[:2]] == [["beans"], ["peas"]]
    (tmp_path / "base.yaml").write_text("include: task.yaml\n")
    with pytest.raises(TaskError, match="includes more than"):
        read_lm_eval(tmp_path / "task.yaml")


def test_lm_eval_choices_as_contexts(tmp_path: Path) -> None:
    rows = [{"gap": ["Ada", "Grace"], "rest": "is right", "answer": "2"}]
    found = lm_eval_task(
        tmp_path,
        HEAD
        + """
output_type: multiple_choice
doc_to_text: "{{ {'1': 0, '2': 1}[answer] }}"
doc_to_choice: "{% set a = gap[0] ~ ' said' %}{{ [a, gap[1] ~ ' said'] }}"
doc_to_target: rest
""",
        rows,
    )
    (question,) = found.questions
    assert question.contexts == ["Ada said", "Grace said"]
    assert question.continuations == [" is right"]
    assert question.target == 1


def test_lm_eval_filters_and_several_views(tmp_path: Path) -> None:
    found = lm_eval_task(
        tmp_path,
        HEAD
        + r"""
output_type: generate_until
doc_to_text: question
doc_to_target: "{{answer}}"
filter_list:
  - name: strict
    filter: [{function: regex, regex_pattern: "#### ([0-9]+)"}, {function: take_first}]
  - name: last
    filter: [{function: regex, regex_pattern: "[0-9]+", group_select: -1}, {function: take_first}]
metric_list: [{metric: exact_match, ignore_case: true}]
""",
    )
    names = [m.metric.name for m in found.measures]
    assert names == ["exact_match@strict", "exact_match@last"]
    outcome = Outcome(id="a", target="2", references=["2"], output="1 or 2")
    scores = {k: v for m in found.measures for k, v in m.metric.scores(m.outcomes([outcome]))[0].items()}
    assert scores == {"exact_match@strict": 0.0, "exact_match@last": 1.0}
    assert found.measures[1].metric.aggregate_scores([scores]).value == 1.0


def test_lm_eval_rolling_reads_as_the_harness_does(tmp_path: Path) -> None:
    found = lm_eval_task(tmp_path, HEAD + "output_type: loglikelihood_rolling\ndoc_to_target: question\n")
    assert found.questions[0].target == "What grows in bed 0?"
    assert not found.task.overlap
    assert [m.metric.name for m in found.measures] == ["word_perplexity", "byte_perplexity", "bits_per_byte"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("process_docs: !function utils.clean", "process_docs: !function utils.clean would run a program"),
        ("metric_list: [{metric: !function utils.f}]", "metric_list.0.metric: !function utils.f"),
        ("doc_to_txt: x", "doc_to_txt: lm-evaluation-harness knows no such field"),
        ("repeats: 3", "repeats: asking several times"),
        ("task: [a, b]", "task: this is a group"),
        ("output_type: guess", "output_type: 'guess' is none of"),
        ("metric_list: [{metric: brier_score}]", "metric_list: brier_score is not offered"),
        ("metric_list: [{metric: nonsense}]", "No metric is called nonsense"),
        ("fewshot_config: {sampler: balanced}", "fewshot_config.sampler: balanced"),
        ("filter_list: [{name: a, filter: [{function: custom}]}]", "filter_list: custom is not offered"),
        ("filter_list: [{name: a, filter: [{function: regex, regex_pattern: '('}]}]", "regex_pattern"),
        ("include: other.yaml", "includes other.yaml, which is not beside it"),
        ("dataset_kwargs: {}", "dataset_kwargs.data_files"),
        ("doc_to_text: '{{nothing}}'", "prompt: the template does not fit sample test/0"),
        ("doc_to_image: x", "doc_to_image asks about images"),
    ],
)
def test_lm_eval_refusals(tmp_path: Path, line: str, message: str) -> None:
    base = {"output_type": "generate_until", "doc_to_text": "question", "doc_to_target": "answer"}
    kept = {key: value for key, value in base.items() if not line.startswith(key)}
    head = "\n".join(x for x in HEAD.splitlines() if x.partition(":")[0] != line.partition(":")[0])
    with pytest.raises(TaskError) as caught:
        lm_eval_task(tmp_path, head + "\n" + yaml.safe_dump(kept) + line + "\n")
    assert message in caught.value.message


def test_every_default_metric_exists() -> None:
    for kind in DEFAULT_METRICS:
        (task,) = list_tasks({"tasks": [{"kind": kind, "prompt": "x", "choices": ["y"], "target": "y"}]})
        assert measures_of(task)
