"""`python -m benchmarks.training_run '{"way": …}'`: one training run, in a process of its own; ends with
its figures as JSON.

Ways: `ours` (the lab's trainer), `plain` (the lab's plain loop), `padded` (Hugging Face's Trainer with its
usual padded batches), `learn` (a whole run of `llmos train`). Tokens are those that are asked for: neither
padding nor the first of a row.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.stopwatch import Stopwatch
from llmos.lab.train.device import ENVIRONMENT

os.environ.update(ENVIRONMENT)

if TYPE_CHECKING:
    from llmos.lab.data.loader import Corpus
    from llmos.lab.recipes.schema import Recipe
    from llmos.lab.train.run import Run


class Done(Exception):
    """The time for measuring is over."""


def recipe_of(task: dict[str, Any]) -> Recipe:
    from llmos.lab.recipes.schema import Recipe

    return Recipe.model_validate(task["recipe"])


def prepared(task: dict[str, Any]) -> Run:
    from llmos.lab.events import Reporter
    from llmos.lab.train.run import prepare

    return prepare(recipe_of(task), Path(task["output"]), Reporter(quiet=True))


def ours(task: dict[str, Any], watch: Stopwatch) -> Run:
    from transformers import TrainerCallback

    from llmos.lab.events import Reporter
    from llmos.lab.train.run import make_trainer

    run = prepared(task)
    trainer, _ = make_trainer(run, Reporter(quiet=True))
    seen = 0

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> Any:
            nonlocal seen
            control.should_training_stop = watch.step(trainer.tokens_seen - seen)
            control.should_evaluate = control.should_save = False
            seen = trainer.tokens_seen
            return control

    trainer.add_callback(Watch())
    trainer.train()
    return run


def plain(task: dict[str, Any], watch: Stopwatch) -> Run:
    from llmos.lab.objectives.language import NextToken
    from llmos.lab.objectives.make import make_objective
    from llmos.lab.train.plain import Settings, train

    run = prepared(task)
    training, optimiser = run.recipe.training, run.recipe.optimiser
    assert training.batch_tokens
    assert training.sequence_length
    assert optimiser.learning_rate
    objective = make_objective(run.recipe, run.corpus, run.tokenizer, [], cache=run.cache)
    assert isinstance(objective, NextToken)
    rows = training.batch_tokens // training.sequence_length
    asked = rows * (training.sequence_length - 1)

    def after(step: int, seconds: float) -> None:
        if watch.step(asked):
            raise Done

    settings = Settings(steps=10_000, rows_per_step=rows, learning_rate=optimiser.learning_rate)
    with contextlib.suppress(Done):
        train(run.model, objective, settings, after_step=after)
    return run


def padded(task: dict[str, Any], watch: Stopwatch) -> Run:
    """As the guides of transformers have it: documents cut at the row's length, padded to the longest."""
    from datasets import Dataset  # type: ignore[import-untyped]
    from transformers import DataCollatorForLanguageModeling, Trainer, TrainerCallback, TrainingArguments

    run = prepared(task)
    training = run.recipe.training
    assert training.batch_tokens
    assert training.sequence_length
    texts = Dataset.from_dict({"text": list(run.corpus.texts())})
    rows = texts.map(
        lambda batch: run.tokenizer(batch["text"], truncation=True, max_length=training.sequence_length),
        batched=True,
        remove_columns=["text"],
    )
    pad = DataCollatorForLanguageModeling(run.tokenizer, mlm=False)
    last = 0

    def collate(examples: list[Any]) -> Any:
        nonlocal last
        batch = pad([{k: e[k] for k in ("input_ids", "attention_mask")} for e in examples])
        last = int((batch["labels"][:, 1:] != -100).sum())
        return batch

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> Any:
            control.should_training_stop = watch.step(last)
            return control

    arguments = TrainingArguments(
        output_dir=task["output"],
        max_steps=10_000,
        per_device_train_batch_size=training.batch_tokens // training.sequence_length,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        seed=training.seed,
    )
    trainer = Trainer(
        model=run.model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[Watch()]
    )
    trainer.train()
    return run


def learn(task: dict[str, Any]) -> dict[str, Any]:
    """Train to the end. A causal model is then told its whole held-out part, and so is a byte trigram."""
    from llmos.lab.data.loader import load
    from llmos.lab.events import Reporter
    from llmos.lab.recipes.resolve import resolve
    from llmos.lab.train.places import cache_folder
    from llmos.lab.train.run import train

    trainers: list[Any] = []
    with Reporter(quiet=True) as reporter:
        result = train(recipe_of(task), Path(task["output"]), reporter, changed=trainers.append)
        losses = [value for _, name, value in reporter.history if name == "eval/loss"]
    figures = result.to_json() | {"losses": losses}
    if "bits_per_byte" not in result.metrics:
        return figures
    trainer = trainers[0]
    trainer.recipe.evaluation.max_examples = len(trainer.objective.held_out)
    recipe, _ = resolve(recipe_of(task))
    corpus = load(recipe.data, recipe.objective, cache=cache_folder())
    figures |= {"bits_per_byte": trainer.evaluate()["eval_bits_per_byte"]}
    return figures | _trigram(corpus) | _look(result.samples, corpus)


def _trigram(corpus: Corpus) -> dict[str, float]:
    from llmos.lab.metrics.trigram import ByteTrigram

    trigram = ByteTrigram(corpus.texts("train"))
    bits, size_bytes = 0.0, 0
    for text in corpus.texts("validation"):
        bits, size_bytes = bits + trigram.bits(text), size_bytes + len(text.encode())
    return {"trigram_bits_per_byte": bits / size_bytes}


def _look(samples: list[dict[str, str]], corpus: Corpus) -> dict[str, float]:
    """The share of English words that occur in the training text, and of Chinese lines that have the
    five or seven characters of a Tang poem's, in held-out poems as well. The last of a sample is cut off."""
    known = {word for text in corpus.texts("train") for word in re.findall(r"[a-z]+", text.lower())}
    words, lines = [], []
    for sample in samples:
        words += re.findall(r"[a-z]+", sample["text"].lower())[:-1]
        lines += _chinese_lines(sample["text"])[:-1]
    # Without title and poet, which the prompts bring along.
    real = [line for text in corpus.texts("validation") for line in _chinese_lines(text)[2:]]
    return {
        "real_words": sum(word in known for word in words) / max(len(words), 1),
        "poem_lines": _poem_like(lines),
        "real_poem_lines": _poem_like(real),
    }


def _chinese_lines(text: str) -> list[str]:
    return [line for line in re.split(r"[，。？！\s]+", text) if re.search(r"[一-鿿]", line)]


def _poem_like(lines: list[str]) -> float:
    found = [re.fullmatch(r"[一-鿿]{5}([一-鿿]{2})?", line) for line in lines]
    return sum(map(bool, found)) / max(len(lines), 1)


def main() -> int:
    task = json.loads(sys.argv[1])
    if task["way"] == "learn":
        print(json.dumps(learn(task), default=str))
        return 0
    from llmos.lab.models.build import count_parameters
    from llmos.lab.train.device import pick_device, pick_precision, set_threads

    set_threads(None)
    device = pick_device()
    wanted = recipe_of(task).training.precision if task["way"] == "ours" else "fp32"
    precision = pick_precision(wanted, device)
    watch = Stopwatch(task["seconds"], precision, device)
    run = {"ours": ours, "plain": plain, "padded": padded}[task["way"]](task, watch)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {
        "tokens_per_s": watch.tokens / watch.took,
        "parameters": count_parameters(run.model)[0],
        "matrix_flops": watch.matrix_flops,
        "precision": precision,
        "peak_mb": peak_kb / 1000,
        "steps": watch.steps,
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
