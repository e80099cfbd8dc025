"""`python -m llmos.lab.cluster recipe.json --address HOST:PORT`: one training on a Ray cluster.

This process only steers: it hands recipe, inputs and checkpoint to the workers through Ray's object store,
and writes down what the first of them sends back: events, checkpoints, the finished model. So the machines
need no common disk. It must run on a machine of the cluster, with the same version of LLMOS. Its death ends
the run on all workers.

Exit codes: those of `python -m llmos.lab`, and 75 when workers or cluster were lost: try again elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import uuid
from pathlib import Path
from typing import Any

from llmos.core.errors import LlmosError
from llmos.lab.events import Reporter
from llmos.lab.inputs import laid_inputs, laid_revisions
from llmos.lab.recipes.load import parse_recipe
from llmos.lab.recipes.resolve import say_defaults
from llmos.lab.recipes.schema import TUNED_BY_TRL, Recipe
from llmos.lab.train.device import ENVIRONMENT
from llmos.lab.train.errors import exit_code

LOST = 75
_POLL_S = 0.5
_STOP_GRACE_S = 5.0


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.about:
        return _connect(options) or _about()
    with Reporter(events=options.events) as reporter:
        try:
            text = options.recipe.read_text(encoding="utf-8")
            recipe = parse_recipe(text)
        except LlmosError as error:
            return _refuse(error.code, error.message, reporter)
        say_defaults(recipe, reporter)
        if code := _connect(options):
            return code
        import ray

        try:
            return _run(options, text, recipe, reporter)
        finally:
            ray.shutdown()


def _refuse(code: str, message: str, reporter: Reporter) -> int:
    print(message, file=sys.stderr)
    reporter.say(message)
    return exit_code(code)


def _connect(options: argparse.Namespace) -> int:
    """0 when the cluster answers, else why this program ends."""
    try:
        import ray
    except ImportError:
        print("Ray is not installed here: make setup-ray.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _stop)
    try:
        ray.init(address=options.address, log_to_driver=False, logging_level="warning")
    except (ConnectionError, RuntimeError, ValueError) as error:
        print(f"The Ray cluster at {options.address} does not answer: {error}", file=sys.stderr)
        return LOST
    return 0


def _about() -> int:
    import ray

    print(json.dumps(ray.cluster_resources()))
    return 0


def _stop(_number: int, _frame: object) -> None:
    """The workers belong to this process: Ray ends them with it."""
    threading.Timer(_STOP_GRACE_S, os._exit, [143]).start()
    raise SystemExit(143)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m llmos.lab.cluster")
    parser.add_argument("recipe", type=Path, nargs="?")
    parser.add_argument("--address", required=True, help="the cluster, as host:port")
    parser.add_argument("--workers", type=int, default=0, help="processes (one a free GPU or two CPUs)")
    parser.add_argument("--output", type=Path, default=Path("output"))
    parser.add_argument("--events", help="file, or number of an open descriptor, for job events")
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--about", action="store_true", help="print what the cluster has, as JSON")
    return parser


def _run(options: argparse.Namespace, text: str, recipe: Recipe, reporter: Reporter) -> int:
    from ray.util.queue import Queue

    from llmos.lab.cluster_work import Post, lay_out

    gpus, workers = _plan(options.workers, one=recipe.objective in TUNED_BY_TRL)
    queue = Queue(maxsize=16, actor_options={"num_cpus": 0})
    # Beside what the run makes: whoever removes that removes this.
    with tempfile.TemporaryDirectory(prefix=".ray-", dir=options.output.absolute().parent) as storage:
        work = {
            "recipe": text,
            "inputs": {name: lay_out(Path(path)) for name, path in laid_inputs().items()},
            "revisions": laid_revisions(),
            "resume": lay_out(options.resume) if options.resume else None,
            "queue": queue,
            "run": uuid.uuid4().hex,
            "environment": ENVIRONMENT,
        }
        reporter.say(f"{workers} workers on the Ray cluster, {'a GPU each' if gpus else 'on CPUs'}.")
        fit = _Fit(work, workers, gpus=gpus, storage=storage)
        post = Post(queue, options.output, reporter)
        fit.start()
        while fit.is_alive():
            post.take(wait_s=_POLL_S)
        while post.take(wait_s=0.0):
            pass
    if post.refusal:
        return _refuse(post.refusal["code"], str(post.refusal["message"]), reporter)
    if fit.failure is not None or not post.is_done:
        print(f"The workers were lost: {fit.failure or 'they sent no result'}", file=sys.stderr)
        return LOST
    return 0


def _plan(wanted: int, *, one: bool) -> tuple[bool, int]:
    """Whether workers get GPUs, and how many of them: what was asked, else what is free now."""
    import ray

    free = ray.available_resources()
    gpus = int(free.get("GPU", 0))
    # A worker with fewer than two cores would mostly wait for the others.
    count = wanted or gpus or max(1, int(free.get("CPU", 1)) // 2)
    return gpus > 0, 1 if one else count


class _Fit(threading.Thread):
    """Ray Train at work; `failure` says what ended it."""

    def __init__(self, work: dict[str, Any], workers: int, *, gpus: bool, storage: str) -> None:
        super().__init__(name="ray-train", daemon=True)
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        from llmos.lab.cluster_work import train_here

        self.failure: BaseException | None = None
        self._trainer = TorchTrainer(
            train_here,
            train_loop_config=work,
            torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus),
            # The hub gives a lost job to another runner, from its newest checkpoint.
            run_config=RunConfig(storage_path=storage, failure_config=FailureConfig(max_failures=0)),
        )

    def run(self) -> None:
        from ray.exceptions import RayError
        from ray.train.v2.api.exceptions import TrainingFailedError

        try:
            self._trainer.fit()
        except (TrainingFailedError, RayError, RuntimeError) as error:
            self.failure = error


if __name__ == "__main__":
    sys.exit(main())
