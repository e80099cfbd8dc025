"""Hugging Face's Trainer with our rows, steps, schedule, evaluation and checkpoints.

What is kept of it: the loop and its callbacks, optimiser and random states in checkpoints, devices and
processes through accelerate. What is ours: whole batches cut into micro-batches (`steps`), losses over
packed rows, and checkpoints that are whole or not there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from llmos.lab.events import Reporter
from llmos.lab.objectives.base import Batch, Objective, Rows, held_out_batches
from llmos.lab.recipes.schema import Recipe
from llmos.lab.train import team
from llmos.lab.train.checkpoint import WholeCheckpoints
from llmos.lab.train.ema import Average
from llmos.lab.train.errors import TrainingStopped
from llmos.lab.train.optim import make_optimizer
from llmos.lab.train.schedule import ShareScheduler
from llmos.lab.train.shards import Shards
from llmos.lab.train.steps import Steps

# A run limited by time only: more steps than any machine makes.
ENDLESS = 10_000_000


@dataclass
class Clock:
    """How much of the run is done. `spent_s` counts earlier attempts of a resumed run too."""

    max_steps: int
    max_minutes: float | None
    spent_s: float = 0.0

    def __post_init__(self) -> None:
        self._started = time.monotonic()
        self._agreed: float | None = None

    @property
    def elapsed_s(self) -> float:
        if self._agreed is not None:
            return self._agreed
        return self.spent_s + time.monotonic() - self._started

    def agree(self) -> None:
        """Where time counts, all processes go by the first one's clock; it stands still until asked again."""
        if team.size() > 1 and self.max_minutes is not None:
            self._agreed = None
            self._agreed = team.agree(self.elapsed_s)

    def done(self, steps: int) -> float:
        by_steps = steps / self.max_steps
        if self.max_minutes is None:
            return by_steps
        return max(by_steps, self.elapsed_s / (60.0 * self.max_minutes))

    def describe(self) -> str:
        limits = [f"{self.max_steps:,} steps"] if self.max_steps < ENDLESS else []
        limits += [f"{self.max_minutes:g} minutes"] if self.max_minutes is not None else []
        return " or ".join(limits)

    def restart(self, spent_s: float) -> None:
        self.spent_s, self._started, self._agreed = spent_s, time.monotonic(), None


def steps_of(recipe: Recipe, rows: int, rows_per_step: int) -> int:
    """How many steps a resolved recipe makes at most over `rows` rows an epoch."""
    training = recipe.training
    limits = [ENDLESS] if training.max_minutes else []
    limits += [training.max_steps] if training.max_steps else []
    limits += [max(1, round(training.max_epochs * rows / rows_per_step))] if training.max_epochs else []
    return min(limits)


class LabTrainer(WholeCheckpoints, Trainer):
    """Trains `objective` as `recipe` (resolved) says. `folder` takes the checkpoints."""

    model: Any
    objective: Objective

    def __init__(
        self,
        model: Any,
        objective: Objective,
        recipe: Recipe,
        *,
        folder: Path,
        reporter: Reporter,
        rows_per_step: int,
        precision: str = "fp32",
        tokenizer: Any = None,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        training = recipe.training
        assert training.micro_batch is not None
        self.objective, self.recipe, self.reporter, self.precision = objective, recipe, reporter, precision
        self.rows_per_step, self.tokenizer_kept = rows_per_step, tokenizer
        steps = steps_of(recipe, len(objective.train), rows_per_step)
        self.clock = Clock(steps, training.max_minutes)
        objective.prepare(model)
        _speed_up(model, compiled=bool(training.compile), checkpointing=training.gradient_checkpointing)
        is_split = training.distributed == "fsdp" and team.size() > 1
        self.shards = Shards(model, objective, layers_of(model)) if is_split else None
        self.steps = Steps(
            self.shards.loss if self.shards else objective.loss,
            micro_batch=min(training.micro_batch, rows_per_step),
            clip=recipe.optimiser.clip,
            precision=precision,
            say=reporter.say,
            together=is_split,
        )
        self.tokens_seen = 0
        self.average = Average(model, training.ema) if training.ema else None
        rows = Rows(objective, steps * rows_per_step, training.seed)
        super().__init__(
            model=model,
            args=arguments(folder, recipe, steps, max(1, rows_per_step // team.size())),
            train_dataset=rows,
            data_collator=objective.collate,
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)
        if team.size() > 1:
            self._be_one_of_several()

    def _be_one_of_several(self) -> None:
        # `steps` sums the gradients, weighted by their tokens: no wrapper that averages them is wanted.
        self.accelerator.prepare_model = partial(self.accelerator.prepare_model, evaluation_mode=True)
        # What is dropped at random is not the same in every process.
        torch.manual_seed(self.recipe.training.seed + team.rank())

    # Rows

    def get_train_dataloader(self) -> DataLoader[Any]:
        loader = DataLoader(
            self.train_dataset,  # type: ignore[arg-type]
            batch_size=self.args.train_batch_size,
            sampler=SequentialSampler(self.train_dataset),  # type: ignore[arg-type]
            collate_fn=self.data_collator,
            drop_last=True,
            pin_memory=self.args.device.type == "cuda",
        )
        prepared: DataLoader[Any] = self.accelerator.prepare(loader)
        return prepared

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> Any:
        return [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)], None

    # Steps

    def training_step(self, model: Any, inputs: Batch, num_items_in_batch: Any = None) -> Tensor:
        self.model.train()
        batch = self._prepare_inputs(inputs)
        loss, count = self.steps.gradients(self.model, batch, self.state.global_step)
        self.tokens_seen += count
        self.clock.agree()
        return loss

    def floating_point_ops(self, inputs: Any) -> int:
        return 0

    def _wrap_model(self, model: Any, training: bool = True, dataloader: Any = None) -> Any:
        # `steps` sums the gradients of all processes itself, weighted by their tokens.
        return self.model

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = make_optimizer(self.model, self.recipe.optimiser)
        made: torch.optim.Optimizer = self.optimizer
        return made

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        if self.lr_scheduler is None:
            inner = getattr(self.optimizer, "optimizer", self.optimizer)
            self.lr_scheduler = ShareScheduler(inner, self.recipe.schedule, self.clock.done)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    # Looking

    def evaluate(self, *args: Any, intervals: bool = False, **kwargs: Any) -> dict[str, float]:
        """Figures of the held-out part. With `intervals` it is looked at example by example."""
        size = 1 if intervals else self.steps.micro_batch
        limit = self.recipe.evaluation.max_examples
        batches = held_out_batches(self.objective, size, limit, self.recipe.training.seed)
        figures: dict[str, float] = {}
        self.model.eval()
        moved = (self._prepare_inputs(b) for b in batches)
        with torch.no_grad():
            if self.shards:
                figures = self.shards.evaluate(moved, intervals=intervals)
            elif team.is_first():
                figures = self.objective.evaluate(self.model, moved, intervals=intervals)
        self.model.train()
        figures = team.share(figures) if team.size() > 1 else figures
        told = {f"eval/{k}": v for k, v in figures.items() if not k.endswith(("_low", "_high"))}
        self.reporter.metrics(self.state.global_step, told)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, figures)
        return {f"eval_{name}": value for name, value in figures.items()}

    # Checkpoints

    def own_state(self) -> dict[str, Any]:
        return super().own_state() | {
            "tokens_seen": self.tokens_seen,
            "steps": self.steps.state_dict(),
            "rows": len(self.objective.train),
            "rows_per_step": self.rows_per_step,
        }

    def take_state(self, state: dict[str, Any]) -> None:
        mine = (len(self.objective.train), self.rows_per_step)
        if (state["rows"], state["rows_per_step"]) != mine:
            raise TrainingStopped(
                f"The checkpoint was written for {state['rows']} rows, {state['rows_per_step']} a step; this "
                f"run has {mine[0]} and {mine[1]}: data or recipe changed. Choose another output folder.",
                code="OtherRun",
            )
        super().take_state(state)
        self.tokens_seen = int(state["tokens_seen"])
        self.steps.load_state_dict(state["steps"])

    def save_more(self, folder: Path) -> None:
        if self.average:
            self.average.save(folder)
        if self.tokenizer_kept is not None:
            # Whoever goes on must read texts as this run does, and need not train a tokenizer first.
            self.tokenizer_kept.save_pretrained(str(folder))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self.average:
            self.average.load(Path(resume_from_checkpoint))


def _speed_up(model: Any, *, compiled: bool, checkpointing: bool) -> None:
    if checkpointing:
        model.activation_checkpointing_enable()
    if compiled:
        for layer in layers_of(model):
            # Layer by layer: all layers share what is compiled once, so that it takes seconds.
            layer.compile(dynamic=False)


def layers_of(model: Any) -> list[Any]:
    """The repeated blocks of a transformer: the members of its longest module list(s)."""
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return [layer for blocks in lists if len(blocks) > 1 for layer in blocks]


def arguments(folder: Path, recipe: Recipe, steps: int, rows: int) -> TrainingArguments:
    """Trainer's options: what is ours is switched off in them."""
    training = recipe.training
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=rows,
        max_grad_norm=0.0,
        logging_strategy="no",
        save_strategy="no",
        eval_strategy="no",
        save_total_limit=recipe.checkpoints.keep,
        save_only_model=False,
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        seed=training.seed,
        data_seed=training.seed,
        use_cpu=not torch.cuda.is_available() and not torch.backends.mps.is_available(),
        dataloader_num_workers=0,
        skip_memory_metrics=True,
    )
