"""Runs a task of lm-evaluation-harness's own catalogue; started with the Python of .venv-lm-eval.

Imports nothing of LLMOS. One request as JSON on the command line; the last line of standard output is the
answer: the samples, the figures, the packages.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
from typing import Any


def main(request: dict[str, Any]) -> dict[str, Any]:
    import torch

    evaluator = importlib.import_module("lm_eval.evaluator")
    manager = importlib.import_module("lm_eval.tasks").TaskManager

    if request["threads"]:
        torch.set_num_threads(request["threads"])
    own = request.get("include_path")
    found: dict[str, Any] = evaluator.simple_evaluate(
        model="hf",
        model_args=f"pretrained={request['model']},dtype=float32",
        device="cpu",
        tasks=[request["task"]],
        task_manager=manager(include_path=own, include_defaults=own is None),
        num_fewshot=request["fewshot"],
        limit=request["limit"],
        batch_size=request["batch_size"] or 1,
        apply_chat_template=bool(request["chat_template"]),
        bootstrap_iters=0,
        log_samples=True,
        random_seed=request["seed"],
        numpy_random_seed=request["seed"],
        torch_random_seed=request["seed"],
    )
    if list(found["samples"]) != [request["task"]]:
        raise SystemExit(f"{request['task']} is a group; name one of: {', '.join(found['samples'])}")
    packages = {
        d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"]
    }
    return {
        "samples": found["samples"][request["task"]],
        "results": found["results"][request["task"]],
        "config": found["configs"][request["task"]],
        "higher": found["higher_is_better"][request["task"]],
        "fewshot": found["n-shot"][request["task"]],
        "packages": packages,
        "version": importlib.metadata.version("lm_eval"),
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1])), default=str))
