"""A benchmark with two models on it, one of them twice; signed by the instance itself."""

from __future__ import annotations

import json
import tempfile
import warnings
from datetime import timedelta
from pathlib import Path

from kit.model_records import AT, EVAL_YAML, data_file, make_record, result_file
from kit.seed import CONFIG, World, weights
from llmos.features.evals.instances import own_key
from llmos.infra.runtime import Runtime

BENCHMARK = "grace/tang-cloze"
CARD = "---\nlicense: mit\nlanguage: [zh]\n---\n# Tang cloze\n\nThe missing word of a line.\n"


def seed_evals(rt: Runtime, world: World) -> None:
    world.create(BENCHMARK, "dataset")
    files: dict[str, bytes | str] = {
        "README.md": CARD,
        "eval.yaml": EVAL_YAML,
        "data/test.jsonl": data_file(40),
    }
    world.put(BENCHMARK, "dataset", "Publish the benchmark", files)
    config = json.dumps(CONFIG, indent=2) + "\n"
    large = {"config.json": config.encode(), "model.safetensors": weights()}
    small = {"config.json": config.encode(), "model.safetensors": weights(64, 4)}
    _record(rt, world, "ada/tiny-llm", large, 31, 0)
    _record(rt, world, "ada/tiny-llm", large, 33, 1)
    _record(rt, world, "ada/tiny-llm-chat", small, 22, 2)
    said = result_file(BENCHMARK, 0.9, notes="Measured with our own prompts.")
    world.put("lab/tiny-embed", "model", "Report a score", {".eval_results/tang.yaml": said})


def _record(rt: Runtime, world: World, name: str, files: dict[str, bytes], right: int, day: int) -> None:
    answers = [True] * right + [False] * (40 - right)
    with tempfile.TemporaryDirectory() as folder:
        _, made = make_record(
            Path(folder),
            answers,
            model=name,
            benchmark=BENCHMARK,
            key=own_key(rt),
            files=files,
            at=AT + timedelta(days=day),
        )
    with warnings.catch_warnings():
        # The client doubts that a data file belongs to a model.
        warnings.simplefilter("ignore", UserWarning)
        world.put(name, "model", "Add an evaluation", dict(made))
