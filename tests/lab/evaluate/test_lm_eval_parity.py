"""The same task files by lm-evaluation-harness and by us: the same log-probabilities."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import llmos
from kit.tiny_models import make_model
from llmos.lab.evaluate.answers import answer
from llmos.lab.evaluate.engines.local import LocalEngine
from llmos.lab.evaluate.lm_eval_run import evaluate_catalogue, is_of_catalogue
from llmos.lab.evaluate.opening import manner_of, open_task
from llmos.lab.evaluate.tasks.schema import TaskError
from llmos.lab.events import Reporter
from llmos.records.bundle import sign_bundle
from llmos.records.keys import create_private_key
from llmos.records.verify import verify_bundle
from llmos.wire.evaluation_recipe import EvaluationPlan, EvaluationRecipe

ROOT = Path(llmos.__path__[0]).parents[1]
PYTHON = ROOT / ".venv-lm-eval" / "bin" / "python"
ROWS = [
    {
        "question": f"what of {word} and the people ",
        "options": [f"it is {word}", "no", "they made the law together", f"{word} {word}"],
        "answer": number % 4,
        "text": f"The {word} of the nation. " * (1 + 9 * (number % 2)),
    }
    for number, word in enumerate("liberty law peace war congress union power state".split())
]
BASE = {"training_split": "train", "test_split": "test", "num_fewshot": 2}
TASKS: dict[str, dict[str, Any]] = {
    "choices": BASE
    | {
        "output_type": "multiple_choice",
        "description": "Of nations.\n\n",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_choice": "options",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    },
    "follows": BASE
    | {
        "output_type": "loglikelihood",
        "doc_to_text": "{{question}}",
        "doc_to_target": " {{options[answer]}}",
        "fewshot_config": {"sampler": "first_n"},
        "metric_list": [{"metric": "acc"}, {"metric": "perplexity"}],
    },
    "rolls": {
        "test_split": "test",
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "text",
        "metric_list": [{"metric": "bits_per_byte"}, {"metric": "word_perplexity"}],
    },
    "writes": BASE
    | {
        "output_type": "generate_until",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_target": "{{options[answer]}}",
        "generation_kwargs": {"until": ["e"], "max_gen_toks": 12},
        "metric_list": [{"metric": "exact_match", "ignore_case": True}],
    },
}
THEIRS = """
import json, sys
from lm_eval import evaluator
from lm_eval.tasks import TaskManager
model, folder, *tasks = sys.argv[1:]
found = evaluator.simple_evaluate(
    model="hf", model_args=f"pretrained={model},dtype=float32", device="cpu", batch_size=4,
    task_manager=TaskManager(include_path=folder, include_defaults=False), tasks=tasks, bootstrap_iters=0,
    log_samples=True,
)
rows = {t: sorted(found["samples"][t], key=lambda row: row["doc_id"]) for t in tasks}
print(json.dumps({
    "answers": {t: [row["filtered_resps"] for row in rows[t]] for t in tasks},
    "figures": {t: {k.split(",")[0]: v for k, v in found["results"][t].items()} for t in tasks},
}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="lm-eval is not installed: make setup-lm-eval")
def test_the_harness_and_we_agree(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model", length=256)
    write_tasks(tmp_path)
    done = subprocess.run(
        [PYTHON, "-c", THEIRS, model, tmp_path, *TASKS],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = json.loads(done.stdout.splitlines()[-1])
    for name in TASKS:
        file = str(tmp_path / f"{name}.yaml")
        plan = EvaluationPlan.model_validate({"model": {"path": str(model)}, "task": {"file": file}})
        opened = open_task(plan, tmp_path)
        manner = manner_of(plan, opened.task, opened.measures)
        given = answer(opened.task, opened.questions, LocalEngine(model), manner)
        for mine, other in zip(given, theirs["answers"][name], strict=True):
            if name == "writes":
                assert mine.output == other[0]
            elif name == "rolls":
                assert mine.logprob == pytest.approx(_number(other[0]), abs=1e-3)
            else:
                assert mine.logprobs == pytest.approx([_number(one) for one in other], abs=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="lm-eval is not installed: make setup-lm-eval")
def test_tasks_of_its_catalogue_become_records(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model", length=256)
    write_tasks(tmp_path)
    key = create_private_key()
    for name, metrics in (("choices", {"acc", "acc_norm"}), ("writes", {"exact_match"})):
        definition = {"lm_eval_task": name, "include_path": "."}
        fields = {"model": {"path": str(model)}, "task": {"definition": definition}, "threads": 1}
        recipe = EvaluationRecipe.model_validate({"evaluation": fields})
        assert is_of_catalogue(recipe)
        with Reporter(quiet=True) as reporter:
            result = evaluate_catalogue(recipe, tmp_path / f"out-{name}", reporter, root=tmp_path)
        assert {m.name for m in result.metrics} == metrics
        assert all("|agg:mean|" in m.signature for m in result.metrics)
        assert [bool(sample.logprobs) for sample in result.samples] == [name == "choices"] * len(ROWS)
        sign_bundle(result.output, key)
        report = verify_bundle(result.output, [key.public], model_dir=model)
        assert report.is_good, report.describe()
    recipe = EvaluationRecipe.model_validate(
        {"evaluation": fields | {"task": {"definition": {"lm_eval_task": "no-such", "include_path": "."}}}}
    )
    with Reporter(quiet=True) as reporter, pytest.raises(TaskError, match="lm-eval could not run no-such"):
        evaluate_catalogue(recipe, tmp_path / "out", reporter, root=tmp_path)


def write_tasks(folder: Path) -> None:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    files = {split: str(folder / "rows.jsonl") for split in ("train", "test")}
    shared = {"dataset_path": "json", "dataset_kwargs": {"data_files": files}}
    for name, task in TASKS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"task": name} | shared | task))


def _number(response: Any) -> float:
    return float(response[0] if isinstance(response, list) else response)
