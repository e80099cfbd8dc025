"""`python -m benchmarks.evaluation_run '{"way": …}'`: the questions of a task file on a model, by one engine,
in a process of its own; ends with its figures as JSON.

Ways: `ours` (the local engine), `lm-eval` (lm-evaluation-harness and its hf backend: run with the Python of
.venv-lm-eval). Processor seconds are those from the task file to the log-probabilities: neither imports nor
loading the model count.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.update(
    OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="0", TOKENIZERS_PARALLELISM="false",
    HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1",
)  # fmt: skip
Figures = dict[str, Any]


def ours(task: Figures) -> Figures:
    from llmos.lab.evaluate.answers import answer
    from llmos.lab.evaluate.engines.local import LocalEngine
    from llmos.lab.evaluate.opening import manner_of, open_task
    from llmos.wire.evaluation_recipe import EvaluationPlan

    plan = EvaluationPlan.model_validate({"model": {"path": task["model"]}, "task": {"file": task["file"]}})
    engine = LocalEngine(Path(task["model"]), batch_size=task["batch_size"])
    began = time.process_time()
    opened = open_task(plan, Path("/"))
    given = answer(opened.task, opened.questions, engine, manner_of(plan, opened.task, opened.measures))
    seconds = time.process_time() - began
    logprobs = [one.logprobs or [one.logprob] for one in given]
    facts = engine.facts()
    return {"cpu_s": seconds, "logprobs": logprobs, "parameters": facts.parameters, "tokens": engine.tokens}


def lm_eval(task: Figures) -> Figures:
    from lm_eval import evaluator
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = Path(task["file"])
    model = AutoModelForCausalLM.from_pretrained(task["model"], dtype="float32").eval()
    tokenizer = AutoTokenizer.from_pretrained(task["model"])
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=task["batch_size"], device="cpu")
    manager = TaskManager(include_path=str(path.parent), include_defaults=False)
    began = time.process_time()
    found = evaluator.simple_evaluate(
        model=lm, tasks=[path.stem], task_manager=manager, bootstrap_iters=0, log_samples=True
    )
    seconds = time.process_time() - began
    rows = sorted(found["samples"][path.stem], key=lambda row: row["doc_id"])
    logprobs = [[_number(response) for response in row["filtered_resps"]] for row in rows]
    return {"cpu_s": seconds, "logprobs": logprobs}


def _number(response: Any) -> float:
    return float(response[0] if isinstance(response, list | tuple) else response)


def main() -> None:
    import torch

    task = json.loads(sys.argv[1])
    torch.set_num_threads(task.get("threads", 1))
    print(json.dumps((ours if task["way"] == "ours" else lm_eval)(task)))


if __name__ == "__main__":
    main()
