"""Serving: tokens a second through the frames beside the same work without them, and a cold start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.report import Row
from benchmarks.serving_engine import ROOT, EngineProcess, make_model, make_prompts

if TYPE_CHECKING:
    from benchmarks.bench import Bench

WORDS = 4096
COUNT = 64
ROUNDS = 3
Figures = dict[str, Any]


def speed(bench: Bench) -> Iterator[Row]:
    """1, 8 and 32 requests at once; best of three rounds of each, in turns."""
    model = make_model(bench.scratch / "model", words=WORDS)
    engine = EngineProcess(model)
    size = engine.facts["parameters"] / 1e6
    alone = 0.0
    try:
        for number in (1, 8, 32):
            prompts = make_prompts(number, WORDS)
            floods, called = [], []
            for _ in range(ROUNDS):
                engine.flood(make_prompts(number, WORDS, seed=9), 2)
                floods.append(engine.flood(prompts, COUNT))
                called.append(run_alone(model, "direct", number))
            best, direct = max(flood.speed for flood in floods), max(called)
            name = f"{number} at once, {size:.1f} M parameters, tokens/s: engine process / its batch called"
            yield Row(name, f"{best:.0f}", f"{direct:.0f}", best / direct, 0.95)
            first = median(min(floods, key=lambda flood: flood.seconds).first_s)
            yield Row(f"{number} at once: time to first token (median)", f"{first * 1e3:.0f} ms", "", first)
            alone = alone or max(run_alone(model, "generate", 2) for _ in range(ROUNDS))
            least = 4.0 if number == 32 else None
            yield Row(
                f"{number} at once / generate() one after another",
                f"{best:.0f}",
                f"{alone:.0f}",
                best / alone,
                least,
            )
        theirs = run_alone(model, "continuous", 32)
        yield Row(
            "32 at once / continuous batching of transformers", f"{best:.0f}", f"{theirs:.0f}", best / theirs
        )
    finally:
        engine.close()


def start(bench: Bench) -> Iterator[Row]:
    """From nothing to the first token of a model of 10 M parameters; the better of three."""
    model = make_model(bench.scratch / "model", words=WORDS)
    found = []
    for _ in range(ROUNDS):
        engine = EngineProcess(model)
        found.append(engine.started_s + engine.flood(make_prompts(1, WORDS), 1).seconds)
        engine.close()
    best = min(found)
    yield Row("cold start to first token, s", f"{best:.2f} s", "6 s", best / 6, at_most=1)


def run_alone(model: Path, way: str, number: int, count: int = COUNT) -> float:
    """Tokens a second without frames, in a process of its own: `benchmarks.serving_run` knows the ways."""
    task = {"model": str(model), "way": way, "prompts": number, "words": WORDS, "count": count}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving_run", json.dumps(task)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{way} failed: {done.stderr[-2000:]}")
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return float(found["tokens"] / found["seconds"])
