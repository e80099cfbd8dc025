"""Evaluation: processor time beside lm-evaluation-harness, and what batches and threads change."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import Row

if TYPE_CHECKING:
    from benchmarks.bench import Bench

ROOT = Path(__file__).resolve().parents[1]
QUESTIONS = 60
SHOTS = 5
Figures = dict[str, Any]


def speed(bench: Bench) -> Iterator[Row]:
    """Five examples, four choices: of several tokens, then of one. lm-eval in its better batch size."""
    subprocess.run([ROOT / "scripts" / "setup.sh", "lm-eval"], check=True)
    model = make_model(bench.scratch / "model")
    for kind, least in (("multi-token", 5.0), ("single-token", 2.0)):
        file = make_task(bench.scratch / "tasks", kind)
        task = {"model": str(model), "file": str(file)}
        theirs = [_run(task | {"way": "lm-eval", "batch_size": size}) for size in (1, 16)]
        mine, other = _run(task | {"way": "ours", "batch_size": 16}), min(theirs, key=lambda x: x["cpu_s"])
        size = mine["parameters"] / 1e6
        name = f"{SHOTS}-shot, 4 {kind} choices, {size:.1f} M parameters, processor time: lm-eval / ours"
        yield Row(
            name, *(f"{x['cpu_s']:.2f} s" for x in (mine, other)), other["cpu_s"] / mine["cpu_s"], least
        )
        yield from _agreement(kind, mine, other)


def exact(bench: Bench) -> Iterator[Row]:
    """Batches of 1, 4 and 16 on one thread and two: the same decisions, log-probabilities within 1e-4."""
    model = make_model(bench.scratch / "model")
    for kind in ("multi-token", "single-token"):
        file = make_task(bench.scratch / "tasks", kind)
        task = {"model": str(model), "file": str(file), "way": "ours"}
        found = [
            _run(task | {"batch_size": size, "threads": threads})
            for size, threads in itertools.product((1, 4, 16), (1, 2))
        ]
        same = sum(len({_argmax(x["logprobs"][n]) for x in found}) == 1 for n in range(QUESTIONS))
        yield Row(
            f"{kind}: same decisions, batch 1-16 x threads 1-2",
            f"{same}",
            f"{QUESTIONS}",
            same / QUESTIONS,
            1,
        )
        worst = max(_difference(found[0], other) for other in found[1:])
        yield Row(
            f"{kind}: largest difference of log-probabilities / 1e-4",
            f"{worst:.1e}",
            "1e-4",
            worst / 1e-4,
            at_most=1,
        )


def _agreement(kind: str, mine: Figures, other: Figures) -> Iterator[Row]:
    same = sum(_argmax(a) == _argmax(b) for a, b in zip(mine["logprobs"], other["logprobs"], strict=True))
    yield Row(f"{kind}: same choice as lm-eval", f"{same}", f"{QUESTIONS}", same / QUESTIONS, 1)
    worst = _difference(mine, other)
    yield Row(
        f"{kind}: log-probabilities, difference to lm-eval / 1e-4",
        f"{worst:.1e}",
        "1e-4",
        worst / 1e-4,
        at_most=1,
    )


def _argmax(values: list[float]) -> int:
    return values.index(max(values))


def _difference(first: Figures, second: Figures) -> float:
    pairs = zip(first["logprobs"], second["logprobs"], strict=True)
    return max(abs(a - b) for x, y in pairs for a, b in zip(x, y, strict=True))


def make_model(folder: Path) -> Path:
    """A Llama of 17 M parameters whose weights are drawn large enough to prefer something."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from llmos.lab.samples import sample

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=8192, special_tokens=["<s>", "</s>"], show_progress=False)
    made.train_from_iterator([sample("english.txt").read_text(encoding="utf-8")], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=384, intermediate_size=1024, num_hidden_layers=8,
        num_attention_heads=6, num_key_value_heads=6, max_position_embeddings=1024, initializer_range=0.06,
        bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_task(folder: Path, kind: str) -> Path:
    """Questions about sentences, and the file of their task, in lm-evaluation-harness's own YAML."""
    from llmos.lab.samples import sample

    folder.mkdir(parents=True, exist_ok=True)
    words = sample("english.txt").read_text(encoding="utf-8").split()
    draw = random.Random(7)

    def run_of(count: int) -> str:
        at = draw.randrange(len(words) - count)
        return " ".join(words[at : at + count])

    def row() -> Figures:
        choices = [run_of(draw.randint(4, 9)) for _ in range(4)]
        return {"question": run_of(draw.randint(12, 30)), "choices": choices, "answer": draw.randrange(4)}

    for split, count in (("train", SHOTS), ("test", QUESTIONS)):
        lines = [json.dumps(row(), ensure_ascii=False) + "\n" for _ in range(count)]
        (folder / f"{kind}-{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    lettered = "{% for c in choices %}{{'ABCD'[loop.index0]}}. {{c}}\n{% endfor %}"
    text = "Text: {{question}}\nGoes on:" if kind == "multi-token" else f"{{{{question}}}}\n{lettered}Answer:"
    task = {
        "task": f"bench-{kind}",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {s: str(folder / f"{kind}-{s}.jsonl") for s in ("train", "test")}},
        "training_split": "train",
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": text,
        "doc_to_choice": "choices" if kind == "multi-token" else ["A", "B", "C", "D"],
        "doc_to_target": "answer",
        "num_fewshot": SHOTS,
        "fewshot_config": {"sampler": "first_n"},
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    file = folder / f"bench-{kind}.yaml"
    file.write_text(json.dumps(task), encoding="utf-8")
    return file


def _run(task: Figures) -> Figures:
    python = ROOT / ".venv-lm-eval" / "bin" / "python" if task["way"] == "lm-eval" else Path(sys.executable)
    done = subprocess.run(
        [python, "-m", "benchmarks.evaluation_run", json.dumps(task)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{task['way']} failed: {done.stderr[-2000:]}")
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found
