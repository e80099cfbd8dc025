"""A base in four bits with an adapter beside it, in programs of their own, which look for bitsandbytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from llmos.core.errors import Unprocessable
from llmos.lab.events import Reporter
from llmos.lab.models.quantized import FOLDER
from llmos.lab.recipes.load import parse_recipe
from llmos.lab.samples import sample
from llmos.lab.train.run import train

DATA = {"sft": "chat.jsonl", "clm": "english.txt", "dpo": "preferences.jsonl"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quantized")
    text = f"""
objective: sft
data: {{sources: [{{files: ["{sample("chat.jsonl")}"]}}]}}
model: {{preset: nano}}
training: {{max_steps: 3, sequence_length: 64, batch_tokens: 256, threads: 1}}
evaluation: {{samples: 0}}
"""
    with pytest.MonkeyPatch.context() as patch, Reporter(quiet=True) as reporter:
        patch.setenv("LLMOS_LAB_CACHE", str(folder / "cache"))
        train(parse_recipe(text), folder / "base", reporter)
    return folder / "base"


def run(folder: Path, base: Path, objective: str, more: str = "") -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(
        f"""
objective: {objective}
data: {{sources: [{{files: ["{sample(DATA[objective])}"]}}], held_out: 0.3}}
model: {{base: "{base}"}}
lora: {{rank: 2, quantize: nf4}}
optimiser: {{learning_rate: 0.01}}
training: {{max_steps: 4, sequence_length: 64, batch_tokens: 256, threads: 1}}
checkpoints: {{every_steps: 2}}
evaluation: {{samples: 1, sample_tokens: 4, max_examples: 4}}
{more}"""
    )
    env = {key: value for key, value in os.environ.items() if not key.startswith(("LLMOS_", "HF_"))}
    env |= {"LLMOS_LAB_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "llmos.lab", "run", str(folder / "recipe.yaml")]
    command += ["--output", str(folder / "output"), "--json"]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=280)


def weights(folder: Path) -> dict[str, Any]:
    return dict(AutoModelForCausalLM.from_pretrained(str(folder)).named_parameters())


@pytest.mark.slow
@pytest.mark.parametrize("objective", DATA)
def test_four_bits_and_an_adapter_become_an_ordinary_model(
    base: Path, tmp_path: Path, objective: str
) -> None:
    if not (Path(sys.prefix) / FOLDER / "bitsandbytes").is_dir():
        pytest.skip("bitsandbytes is not installed (make setup-qlora)")
    done = run(tmp_path / "a", base, objective)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    before, after = weights(base), weights(tmp_path / "a" / "output")
    assert told["parameters"] == sum(p.numel() for p in before.values()) + told["trained_parameters"]
    assert before.keys() == after.keys()
    for name, weight in before.items():
        apart = float((weight - after[name]).detach().norm() / weight.detach().norm())
        # Four bits move each weight by a tenth of its size; what stays whole does not move at all.
        assert (0.03 < apart < 0.5) if "proj" in name else apart == 0, name
    assert "quantization_config" not in (tmp_path / "a" / "output" / "config.json").read_text()
    [state] = (tmp_path / "a" / "output" / "adapter").glob("*.safetensors")
    assert state.stat().st_size < 0.2 * (base / "model.safetensors").stat().st_size
    if objective == "clm":
        goes_on = (tmp_path / "a" / "output" / "checkpoint-4").rename(tmp_path / "gone")
        assert goes_on.is_dir()
        first = {k: torch.clone(v) for k, v in after.items()}
        assert run(tmp_path / "a", base, objective).returncode == 0
        again = weights(tmp_path / "a" / "output")
        assert all(torch.equal(first[name], again[name]) for name in first)


def test_without_the_library_it_says_how_to_install_it(tmp_path: Path) -> None:
    if (Path(sys.prefix) / FOLDER / "bitsandbytes").is_dir():
        pytest.skip("bitsandbytes is installed")
    text = f"""
objective: clm
data: {{sources: [{{files: ["{sample("english.txt")}"]}}]}}
model: {{base: ada/tiny-llm}}
lora: {{quantize: nf4}}
"""
    with Reporter(quiet=True) as reporter, pytest.raises(Unprocessable, match="make setup-qlora"):
        train(parse_recipe(text), tmp_path / "out", reporter)
