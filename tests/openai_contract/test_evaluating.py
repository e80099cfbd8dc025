"""Evaluations that ask the served model find what they find beside the model itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import llmos
from kit.server import LiveServer
from kit.serving import tiny_chat_model
from llmos.lab.evaluate.answers import answer
from llmos.lab.evaluate.engines.base import Engine
from llmos.lab.evaluate.engines.endpoint import EndpointEngine
from llmos.lab.evaluate.engines.local import LocalEngine
from llmos.lab.evaluate.opening import manner_of, open_task
from llmos.wire.evaluation_recipe import EndpointChoice, EvaluationPlan

PYTHON = Path(llmos.__path__[0]).parents[1] / ".venv-lm-eval" / "bin" / "python"
ROWS = [
    {
        "question": f"what of {word} and the people ",
        "options": [f"it is {word}", "no", "they made the law together"],
        "answer": number % 3,
    }
    for number, word in enumerate("liberty law peace war".split())
]
TASK = {
    "task": "choices",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "rows.json"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "Question: {{question}}\nAnswer:",
    "doc_to_choice": "options",
    "doc_to_target": "answer",
    "metric_list": [{"metric": "acc"}],
}
THEIRS = """
import json, sys
from lm_eval import evaluator
from lm_eval.tasks import TaskManager
folder, *pairs = sys.argv[1:]
found = evaluator.simple_evaluate(
    model="local-completions", model_args=",".join(pairs), batch_size=2, bootstrap_iters=0, log_samples=True,
    task_manager=TaskManager(include_path=folder, include_defaults=False), tasks=["choices"],
)
rows = sorted(found["samples"]["choices"], key=lambda row: row["doc_id"])
print(json.dumps([row["filtered_resps"] for row in rows]))
"""


def write_task(folder: Path) -> str:
    rows = folder / "rows.json"
    rows.write_text(json.dumps(ROWS))
    task = TASK | {"dataset_kwargs": {"data_files": {"test": str(rows)}}}
    (folder / "choices.yaml").write_text(yaml.safe_dump(task))
    return str(folder / "choices.yaml")


def scores(engine: Engine, model: Path, file: str) -> list[Any]:
    """Log-likelihoods of each sample's choices."""
    plan = EvaluationPlan.model_validate({"model": {"path": str(model)}, "task": {"file": file}})
    opened = open_task(plan, Path(file).parent)
    manner = manner_of(plan, opened.task, opened.measures)
    return [given.logprobs for given in answer(opened.task, opened.questions, engine, manner)]


def test_our_own_evaluation_of_an_endpoint(
    engine_runner: LiveServer, chat_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, file = tiny_chat_model(tmp_path / "model"), write_task(tmp_path)
    monkeypatch.setenv("HUB_KEY", engine_runner.tokens["ada"])
    choice = EndpointChoice(url=engine_runner.url, model=chat_model, api_key_variable="HUB_KEY")
    there = scores(EndpointEngine(choice, tmp_path / "asked", root=tmp_path), model, file)
    here = scores(LocalEngine(model), model, file)
    for one, other in zip(there, here, strict=True):
        assert one == pytest.approx(other, abs=1e-3)


def _has_lm_eval() -> bool:
    if not PYTHON.exists():
        return False
    probe = [str(PYTHON), "-c", "import lm_eval, tenacity, aiohttp"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_lm_eval_scores_as_we_do_here(engine_runner: LiveServer, chat_model: str, tmp_path: Path) -> None:
    if not _has_lm_eval():
        pytest.skip("lm-eval with its client for APIs is not installed: make setup-lm-eval")
    model, file = tiny_chat_model(tmp_path / "model"), write_task(tmp_path)
    pairs = [f"model={chat_model}", f"base_url={engine_runner.url}/v1/completions", f"tokenizer={model}"]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run(
        [PYTHON, "-c", THEIRS, tmp_path, *pairs, "num_concurrent=2", "tokenizer_backend=huggingface"],
        env=os.environ | offline | {"OPENAI_API_KEY": engine_runner.tokens["ada"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = json.loads(done.stdout.splitlines()[-1])
    for mine, other in zip(scores(LocalEngine(model), model, file), theirs, strict=True):
        assert mine == pytest.approx([float(pair[0]) for pair in other], abs=1e-4)
