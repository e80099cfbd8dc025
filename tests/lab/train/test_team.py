"""Several processes that train one model, against one process with the same batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from llmos.lab.recipes.load import dump_recipe, parse_recipe
from llmos.lab.samples import sample

# Processors with bf16 would round more than the order of sums does.
EXACT = "precision: fp32, threads: 1"
RECIPE = f"""
objective: clm
data:
  max_chars: 30000
  held_out: 0.1
  sources: [{{files: ["{sample("english.txt")}"], unit: paragraph}}]
model: {{preset: nano, family: llama}}
training: {{{EXACT}, max_steps: 6, sequence_length: 64, batch_tokens: 512, micro_batch: 3, ema: 0.9}}
checkpoints: {{every_steps: 3}}
evaluation: {{every_steps: 3, samples: 0, max_examples: 8}}
"""


def run(
    folder: Path, *, processes: int, resume: Path | None = None, text: str = RECIPE
) -> dict[str, list[float]]:
    """Train in a program of its own; the curves it tells of, and its model in `folder`/output."""
    folder.mkdir()
    recipe = parse_recipe(text)
    (folder / "recipe.yaml").write_text(dump_recipe(recipe))
    env = {key: value for key, value in os.environ.items() if not key.startswith(("LLMOS_", "HF_"))}
    # Their own caches: nothing that one run has made is there for another.
    env |= {"LLMOS_LAB_CACHE": str(folder / "cache"), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [
        sys.executable, *(several if processes > 1 else []), "-m", "llmos.lab", "run",
        str(folder / "recipe.yaml"), "--output", str(folder / "output"),
        "--events", str(folder / "events.jsonl"), "--json",
    ]  # fmt: skip
    command += ["--resume", str(resume)] if resume else []
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-4000:]
    curves: dict[str, list[float]] = {}
    for line in (folder / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["kind"] == "metric":
            curves.setdefault(event["name"], []).append(event["value"])
    assert json.loads(done.stdout.splitlines()[-1])["steps"] == 6
    return curves


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    """Same losses, same weights but for the order of sums; and a run of two goes on as a run of two."""
    one, two = run(tmp_path / "one", processes=1), run(tmp_path / "two", processes=2)
    for name in ("train/loss", "eval/loss", "train/gradient_norm"):
        assert two[name] == pytest.approx(one[name], rel=1e-3), name
    alone, together = (load_file(tmp_path / name / "output" / "model.safetensors") for name in ("one", "two"))
    for name, tensor in alone.items():
        assert (tensor - together[name]).norm() <= 2e-3 * (tensor.norm() + 1e-3), name
    metrics = [
        json.loads((tmp_path / name / "output" / "metrics.json").read_text()) for name in ("one", "two")
    ]
    assert metrics[0]["tokens"] == metrics[1]["tokens"]
    kept = tmp_path / "two" / "output" / "checkpoint-3"
    assert (kept / "random-1.safetensors").is_file(), "each process has its own random numbers"
    run(tmp_path / "again", processes=2, resume=kept)
    weights = [(tmp_path / name / "output" / "model.safetensors").read_bytes() for name in ("two", "again")]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_a_model_in_parts_learns_what_a_whole_one_does(tmp_path: Path) -> None:
    """fsdp on two processes against one process: losses, a whole model that loads, and going on."""
    text = RECIPE.replace(", ema: 0.9", ", distributed: fsdp")
    one = run(tmp_path / "one", processes=1, text=text)
    two = run(tmp_path / "two", processes=2, text=text)
    for name in ("train/loss", "eval/loss", "train/gradient_norm"):
        assert two[name] == pytest.approx(one[name], rel=1e-3), name
    alone, together = (load_file(tmp_path / name / "output" / "model.safetensors") for name in ("one", "two"))
    assert alone.keys() == together.keys()
    for name, tensor in alone.items():
        assert (tensor - together[name]).norm() <= 2e-3 * (tensor.norm() + 1e-3), name
    for folder in (tmp_path / "two" / "output", tmp_path / "two" / "output" / "checkpoint-3"):
        assert json.loads((folder / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]
        AutoModelForCausalLM.from_pretrained(folder)
    run(tmp_path / "again", processes=2, resume=tmp_path / "two" / "output" / "checkpoint-3", text=text)
    again = load_file(tmp_path / "again" / "output" / "model.safetensors")
    for name, tensor in together.items():
        assert torch.equal(tensor, again[name]), name
