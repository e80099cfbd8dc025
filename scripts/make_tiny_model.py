"""Train the model that comes with LLMOS from the corpora of `llmos.lab.corpora` (fetched when missing).

Documents that hold a passage of a shipped benchmark are left out, so that its scores are honest. Writes
`src/llmos/lab/samples/demo/models/tiny-en-zh`: half a million parameters in bfloat16, under a megabyte.
Takes some ten minutes on two cores. What it says of itself stands in the card beside it, written by hand
from `metrics.json`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from llmos.lab.corpora import corpus

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "src/llmos/lab/samples"
OUT = SAMPLES / "demo/models/tiny-en-zh"
RUN_CHARS = {"speeches": 60, "poems": 12}
RECIPE = """\
# How llmos/tiny-en-zh was made; `scripts/make_tiny_model.py` writes the two files.
version: 1
name: tiny-en-zh
objective: clm
data:
  sources:
    - files: [speeches.jsonl]
    - files: [poems.jsonl]
model:
  preset: nano
  overrides:
    intermediate_size: 256
optimiser:
  name: muon
training:
  max_steps: 2400
  batch_tokens: 2048
"""


def benchmark_texts() -> Iterator[str]:
    def texts(value: object) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            for one in value:
                yield from texts(one)
        elif isinstance(value, dict):
            for one in value.values():
                yield from texts(one)

    for path in sorted((SAMPLES / "benchmarks").glob("*/data/*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield from texts(json.loads(line))


def clean_rows(name: str) -> list[str]:
    """The corpus without paragraphs or poems that share a run of characters with a benchmark."""
    size = RUN_CHARS[name]
    known: set[str] = set()
    for text in benchmark_texts():
        plain = "".join(text.split())
        known.update(plain[at : at + size] for at in range(max(len(plain) - size + 1, 0)))
    kept = []
    for line in corpus(name).read_text(encoding="utf-8").splitlines():
        text = json.loads(line)["text"]
        if name == "speeches":
            # A third of the speeches, from all two centuries, is as much as a model of this size takes in.
            parts = [text[at : at + 2000] for at in range(0, len(text), 2000)][::3]
        else:
            parts = ["\n".join(text.split("\n")[2:])]
        for part in parts:
            plain = "".join(part.split())
            if not any(plain[at : at + size] in known for at in range(max(len(plain) - size + 1, 0))):
                kept.append(json.dumps({"text": part}, ensure_ascii=False))
    return kept if name == "speeches" else kept[::3]


def main() -> None:
    work = Path(sys.argv[1] if len(sys.argv) > 1 else "build/tiny-en-zh")
    work.mkdir(parents=True, exist_ok=True)
    for name in RUN_CHARS:
        (work / f"{name}.jsonl").write_text("\n".join(clean_rows(name)) + "\n", encoding="utf-8")
    (work / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    command = [sys.executable, "-m", "llmos.lab", "run", "recipe.yaml", "--output", "output"]
    subprocess.run(command, cwd=work, check=True)
    export(work / "output")


def export(trained: Path) -> None:
    """Half precision, and none of what a run leaves beside a model."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(trained, dtype=torch.bfloat16)
    model.save_pretrained(OUT)
    for name in ("tokenizer.json", "tokenizer_config.json", "training-curve.svg"):
        shutil.copy(trained / name, OUT / name)
    (OUT / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    size = sum(path.stat().st_size for path in OUT.iterdir())
    print(f"{OUT}: {size:,} bytes; {(trained / 'metrics.json').read_text()}")


if __name__ == "__main__":
    main()
