"""What a run will take, before it is started: parameters, memory, tokens, time."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from llmos.lab.events import Reporter
from llmos.lab.models.build import count_parameters
from llmos.lab.recipes.schema import TUNED_BY_TRL, Recipe
from llmos.lab.train.adapters import add_adapter
from llmos.lab.train.run import Run, make_trainer, prepare
from llmos.lab.train.trainer import ENDLESS

CALIBRATION_S = 2.0


@dataclass(frozen=True)
class Estimate:
    """`memory_bytes` covers weights, gradients, optimiser and the activations of a micro-batch."""

    parameters: int
    trained_parameters: int
    memory_bytes: int
    tokens: int
    tokens_per_second: float
    steps: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def describe(self) -> str:
        return "\n".join(
            [
                f"parameters  {self.parameters:,} ({self.trained_parameters:,} trained)",
                f"memory      {self.memory_bytes / 1e9:.2f} GB at least",
                f"steps       {self.steps:,}",
                f"tokens      {self.tokens:,}",
                f"speed       {self.tokens_per_second:,.0f} tokens/s on this machine, measured just now",
                f"time        {self.seconds / 60:.1f} minutes",
            ]
        )


def estimate(recipe: Recipe, reporter: Reporter, *, root: Path | None = None) -> Estimate:
    """Prepare the run, take a few steps for two seconds, and reckon. Nothing is left behind."""
    with TemporaryDirectory(prefix="llmos-estimate-") as folder:
        run = prepare(recipe, Path(folder), reporter, root=root)
        if run.recipe.lora:
            run.model = add_adapter(run.model, run.recipe)
        speed, steps = _measure(run, reporter)
    total, trained = count_parameters(run.model)
    full = run.recipe.training
    assert full.batch_tokens is not None
    assert full.micro_batch is not None
    assert full.sequence_length is not None
    step_tokens = full.batch_tokens
    if steps >= ENDLESS:
        steps = max(1, int(speed * 60 * (full.max_minutes or 0) / step_tokens))
    tokens = steps * step_tokens
    seconds = tokens / max(speed, 1e-9)
    if full.max_minutes:
        seconds = min(seconds, 60 * full.max_minutes)
        tokens = min(tokens, int(speed * seconds))
    return Estimate(
        parameters=total,
        trained_parameters=trained,
        memory_bytes=_memory(run, trained),
        tokens=tokens,
        tokens_per_second=round(speed, 1),
        steps=steps,
        seconds=round(seconds, 1),
    )


def _measure(run: Run, reporter: Reporter) -> tuple[float, int]:
    """Tokens a second of real steps, and the steps of the run."""
    from llmos.lab.train.trainer import steps_of

    if run.recipe.objective in TUNED_BY_TRL:
        return _measure_model(run)
    trainer, _ = make_trainer(run, reporter)
    rows: Any = trainer.train_dataset
    batch = trainer.objective.collate([rows[n] for n in range(trainer.rows_per_step)])
    tokens = int(batch["input_ids"].numel())
    trainer.steps.gradients(trainer.model, batch, 0)
    start, done = time.monotonic(), 0
    while time.monotonic() - start < CALIBRATION_S or not done:
        trainer.steps.gradients(trainer.model, batch, 0)
        done += 1
    speed = done * tokens / (time.monotonic() - start)
    return speed, steps_of(run.recipe, len(trainer.objective.train), trainer.rows_per_step)


def _measure_model(run: Run) -> tuple[float, int]:
    """Forward and backward of the bare model: preferences cost about four of these a pair."""
    import torch

    from llmos.lab.train.trainer import steps_of

    training = run.recipe.training
    assert training.sequence_length is not None
    assert training.batch_tokens is not None
    ids = torch.randint(0, len(run.tokenizer), (2, training.sequence_length))
    start, done = time.monotonic(), 0
    while time.monotonic() - start < CALIBRATION_S or not done:
        out = run.model(input_ids=ids)
        out.logits.float().logsumexp(-1).mean().backward()
        run.model.zero_grad(set_to_none=True)
        done += 1
    passes = 1 if run.recipe.objective == "sft" else 3
    speed = done * ids.numel() / (time.monotonic() - start) / passes
    rows = len(run.corpus)
    per_step = max(2, min(training.batch_tokens // training.sequence_length, rows // 4))
    return speed, steps_of(run.recipe, rows, per_step)


def _memory(run: Run, trained: int) -> int:
    """Weights, and for what is trained gradient and two moments; activations of one micro-batch."""
    config, training = run.model.config, run.recipe.training
    # Transformers knows these by one name for all families.
    width = int(getattr(config, "hidden_size", None) or 0)
    layers = int(getattr(config, "num_hidden_layers", None) or 1)
    rows = (training.micro_batch or 1) * (training.sequence_length or 0)
    # About 34 numbers of the model's width for each token and layer stay for the backward pass.
    activations = rows * width * (2 if training.gradient_checkpointing else 34) * layers * 4
    copies = 2 if run.recipe.objective in ("dpo", "kto") and not run.recipe.lora else 1
    weights = sum(p.numel() * p.element_size() for p in run.model.parameters())
    return int(weights) * copies + 12 * trained + activations
