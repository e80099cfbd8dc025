"""Dialogues and preferences, through TRL: sft, dpo, kto, orpo, reward.

TRL's trainers keep their losses and collators; ours are optimiser, schedule, course, checkpoints, and what
happens when the loss is not a number or memory ends.
"""

from __future__ import annotations

import copy
import gc
import math
import time
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback

from llmos.core.errors import Unprocessable
from llmos.lab.data.errors import DataError
from llmos.lab.events import Reporter
from llmos.lab.metrics.intervals import FEWEST, named_ratio
from llmos.lab.models.build import count_parameters
from llmos.lab.objectives.base import fitting, held_out_numbers
from llmos.lab.recipes.schema import Recipe
from llmos.lab.tokenizers.specials import CHAT_TEMPLATE
from llmos.lab.train.callbacks import Course
from llmos.lab.train.checkpoint import WholeCheckpoints, newest_checkpoint
from llmos.lab.train.device import pick_device, pick_precision
from llmos.lab.train.errors import NotANumber, OutOfMemory, TrainingStopped
from llmos.lab.train.optim import make_optimizer
from llmos.lab.train.schedule import ShareScheduler
from llmos.lab.train.steps import free_memory, is_memory
from llmos.lab.train.trainer import Clock, steps_of


class Guarded(WholeCheckpoints):
    """Laid over a trainer of TRL: stops before a loss that is not a number can spoil the weights."""

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(model, inputs, *args, **kwargs)  # type: ignore[misc]
        self.state.num_input_tokens_seen += _count_tokens(inputs)
        if not bool(torch.isfinite(loss)):
            step = self.state.global_step
            self.model.zero_grad(set_to_none=True)
            raise NotANumber(
                f"The loss is not a number at step {step + 1}. The weights are those of step {step}. "
                "Lower optimiser.learning_rate or train in fp32."
            )
        return loss


def _count_tokens(inputs: Mapping[str, Any]) -> int:
    """Tokens that are learnt from, padding left out: of examples, or of both answers with their prompts."""
    names = ("attention_mask", "chosen_attention_mask", "rejected_attention_mask")
    return sum(int(inputs[name].sum()) for name in names if name in inputs)


class _WholeGradients(TrainerCallback):
    """A loss may be a number and its gradient not; the step that would spoil the weights is not taken."""

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
    ) -> None:
        if args.fp16:
            return  # Overflows are usual there; the scaler leaves such steps out.
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        if grads and not bool(torch.isfinite(torch.nn.utils.get_total_norm(grads))):
            model.zero_grad(set_to_none=True)
            step = state.global_step
            raise NotANumber(
                f"The gradient is not a number at step {step + 1}. The weights are those of step {step}. "
                "Lower optimiser.learning_rate or training.beta, or train in fp32."
            )


def tune(run: Any, reporter: Reporter, *, resume: Path | None) -> Any:
    """Run the recipe's objective with TRL; the tuned model is `run.model`. Raises TrainingStopped."""
    from llmos.lab.train.run import Result

    recipe: Recipe = run.recipe
    _prepare_tokenizer(recipe, run.tokenizer)
    micro = recipe.training.micro_batch or 1
    total, trained = count_parameters(run.model)
    start, stopped = time.monotonic(), ""
    reporter.say(f"{total:,} parameters, {trained:,} of them trained; {len(run.corpus):,} examples")
    reporter.phase("train")
    while True:
        trainer, course = make_tuner(run, reporter, micro)
        try:
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
            stopped = course.why_stopped
            break
        except TrainingStopped as error:
            stopped = f"error: {error.message}"
            reporter.say(error.message)
            if trainer.state.global_step:
                trainer._save_checkpoint(trainer.model, None)
            break
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_memory(error):
                raise
            micro = _halve(micro, reporter, error)
        del trainer
        gc.collect()
        free_memory()
        resume = newest_checkpoint(run.output) or resume
        reporter.history.clear()
    best_step = 0 if stopped.startswith("error") else course.keep_best(trainer)
    metrics = _evaluate(trainer, reporter, recipe)
    return Result(
        output=run.output,
        steps=trainer.state.global_step,
        tokens=int(getattr(trainer.state, "num_input_tokens_seen", 0) or 0),
        seconds=round(max(time.monotonic() - start, trainer.clock.elapsed_s), 3),
        parameters=total,
        trained_parameters=trained,
        metrics=metrics,
        stopped=stopped,
        rows_per_step=trainer.args.per_device_train_batch_size * trainer.args.gradient_accumulation_steps,
        precision=pick_precision(recipe.training.precision, pick_device()),
        best_step=best_step,
    )


def _halve(micro: int, reporter: Reporter, error: BaseException) -> int:
    if micro <= 2:
        raise OutOfMemory(
            "There is not enough memory for two rows at a time. Shorten training.sequence_length, use lora, "
            "or set training.gradient_checkpointing."
        ) from error
    reporter.say(f"Memory ended: {micro // 2} rows at a time from now on; a step still takes all its rows.")
    return micro // 2


def _evaluate(trainer: Any, reporter: Reporter, recipe: Recipe) -> dict[str, float]:
    """The figures of TRL, each the mean over held-out examples (kto: batches) with its interval."""
    held_out = trainer.eval_dataset
    if held_out is None or not len(held_out):
        return {}
    callbacks, trainer.callback_handler.callbacks = trainer.callback_handler.callbacks, []
    parts = _parts(recipe, len(held_out), trainer.args.per_device_eval_batch_size)
    rows = [_figures(trainer.evaluate(held_out.select(part))) for part in parts]
    trainer.callback_handler.callbacks = callbacks
    found: dict[str, float] = {}
    for name in rows[0]:
        pairs = zip(rows, map(len, parts), strict=True)
        known = [(row[name] * n, n) for row, n in pairs if math.isfinite(row.get(name, math.nan))]
        found |= named_ratio(name, *map(list, zip(*known, strict=True))) if known else {}
    told = {f"eval/{name}": x for name, x in found.items() if not name.endswith(("_low", "_high"))}
    reporter.metrics(trainer.state.global_step, told)
    return found


def _parts(recipe: Recipe, held_out: int, most: int) -> list[list[int]]:
    """Held-out examples that are looked at together: each alone, but kto's loss compares those of a batch."""
    numbers = held_out_numbers(held_out, recipe.evaluation.max_examples)
    size = max(2, min(most, len(numbers) // FEWEST)) if recipe.objective == "kto" else 1
    parts = [numbers[start : start + size] for start in range(0, len(numbers), size)]
    # A rest of one would compare with nothing.
    return parts[:-1] if len(parts) > 1 and len(parts[-1]) < min(size, 2) else parts


def _figures(found: dict[str, Any]) -> dict[str, float]:
    dropped = ("runtime", "per_second", "epoch", "num_tokens")
    return {
        name.removeprefix("eval_"): float(value)
        for name, value in found.items()
        if name.startswith("eval_") and not name.endswith(dropped) and isinstance(value, int | float)
    }


def _prepare_tokenizer(recipe: Recipe, tokenizer: Any) -> None:
    if not tokenizer.chat_template:
        tokenizer.chat_template = CHAT_TEMPLATE
    length = recipe.training.sequence_length
    if length:
        tokenizer.model_max_length = max(length, 8)


def make_tuner(run: Any, reporter: Reporter, micro: int) -> tuple[Any, Course]:
    """TRL's trainer for the objective, with our course laid over it."""
    recipe: Recipe = run.recipe
    training = recipe.training
    train, held_out = (_examples(run, part, reporter) for part in ("train", "validation"))
    assert training.batch_tokens is not None
    assert training.sequence_length is not None
    rows = max(2, min(training.batch_tokens // training.sequence_length, len(train) // 4))
    micro = min(micro, rows)
    rows -= rows % micro
    clock = Clock(steps_of(recipe, len(train), rows), training.max_minutes)
    course = Course(recipe, clock, reporter, meter=run.meter)
    kind, config = _kinds(recipe.objective)
    fields = _fields(recipe, run.output, clock.max_steps, micro, rows // micro) | _own_fields(recipe, run)
    optimizer = make_optimizer(run.model, recipe.optimiser)
    scheduler = ShareScheduler(optimizer, recipe.schedule, clock.done)
    more: dict[str, Any] = {}
    if recipe.objective in ("dpo", "kto") and not recipe.lora:
        more["ref_model"] = copy.deepcopy(run.model)
    guarded = type(f"Guarded{kind.__name__}", (Guarded, kind), {})
    with warnings.catch_warnings():
        # TRL still sets options by names that transformers will drop.
        warnings.simplefilter("ignore", FutureWarning)
        trainer = guarded(
            model=run.model,
            args=config(**fields),
            train_dataset=train,
            eval_dataset=held_out if len(held_out) else None,
            processing_class=run.tokenizer,
            callbacks=[course, _WholeGradients()],
            optimizers=(optimizer, scheduler),
            **more,
        )
    _check_room(len(train), len(trainer.train_dataset), recipe, reporter)
    trainer.remove_callback(PrinterCallback)
    trainer.reporter, trainer.clock = reporter, clock
    return trainer, course


def _check_room(given: int, left: int, recipe: Recipe, reporter: Reporter) -> None:
    """Say how many examples TRL left out as too long. Raises DataError where none is left."""
    length = recipe.training.sequence_length
    if not left:
        raise DataError(
            f"No example of {recipe.objective} is left: rows of {length} tokens have no room for an answer. "
            "Raise training.sequence_length."
        )
    if left < given:
        reporter.say(
            f"{given - left:,} of {given:,} examples are left out: rows of {length} tokens are too short."
        )


def _kinds(objective: str) -> tuple[Any, Any]:
    import trl

    if objective == "orpo":
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        return ORPOTrainer, ORPOConfig
    name = {"sft": "SFT", "dpo": "DPO", "kto": "KTO", "reward": "Reward"}[objective]
    return getattr(trl, f"{name}Trainer"), getattr(trl, f"{name}Config")


def _fields(recipe: Recipe, folder: Path, steps: int, micro: int, accumulated: int) -> dict[str, Any]:
    training = recipe.training
    precision = pick_precision(training.precision, pick_device())
    return {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": micro,
        "per_device_eval_batch_size": micro,
        "gradient_accumulation_steps": accumulated,
        "max_grad_norm": recipe.optimiser.clip,
        "learning_rate": recipe.optimiser.learning_rate,
        "logging_steps": max(1, min(10, steps // 100)),
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "eval_strategy": "no",
        "save_total_limit": recipe.checkpoints.keep,
        "report_to": [],
        "disable_tqdm": True,
        "seed": training.seed,
        "data_seed": training.seed,
        "use_cpu": pick_device() == "cpu",
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "gradient_checkpointing": training.gradient_checkpointing,
        "max_length": training.sequence_length,
    }


def _own_fields(recipe: Recipe, run: Any) -> dict[str, Any]:
    if recipe.objective in ("dpo", "kto", "orpo"):
        return {"beta": recipe.training.beta}
    if recipe.objective == "sft":
        learns_turns = _has_turns(run) and _marks_answers(run)
        return {"assistant_only_loss": True} if learns_turns else {}
    return {}


def _marks_answers(run: Any) -> bool:
    """Whether the chat template says which words are the assistant's, as TRL itself will look for it."""
    from trl.chat_template_utils import has_generation_markers

    return bool(has_generation_markers(run.tokenizer.chat_template or ""))


def _has_turns(run: Any) -> bool:
    return "messages" in next(run.corpus.examples("train"))


def _examples(run: Any, part: str, reporter: Reporter) -> Any:
    """The examples as a data set of `datasets`.

    Where the chat template does not mark what the assistant says, a dialogue becomes prompt and last
    answer: what is learnt is an answer either way.
    """
    from datasets import Dataset  # type: ignore[import-untyped]

    rows = list(run.corpus.examples(part))
    if run.recipe.objective == "sft" and rows and "messages" in rows[0] and not _marks_answers(run):
        rows = [{"prompt": r["messages"][:-1], "completion": r["messages"][-1:]} for r in rows]
    if run.recipe.objective == "kto":
        rows = [row | {"label": _verdict(row["label"])} for row in rows]
    if run.recipe.objective == "sft":
        length, longer = run.recipe.training.sequence_length, run.recipe.data.longer or "cut"
        kept = list(fitting(rows, partial(_tokens, run.tokenizer), length, longer))
        if len(kept) < len(rows):
            reporter.say(f"{len(rows) - len(kept):,} examples of {part} are too long and were left out.")
        rows = kept
    return Dataset.from_list(rows)


def _tokens(tokenizer: Any, row: Mapping[str, Any]) -> int:
    """Tokens of an example of sft, uncut."""
    said = row.get("messages", row.get("text"))
    said = row["prompt"] + row["completion"] if said is None else said
    if isinstance(said, str):
        return len(tokenizer(said)["input_ids"]) + 1  # and its end
    return len(tokenizer.apply_chat_template(said, tokenize=True, return_dict=False))


def _verdict(label: Any) -> bool:
    if isinstance(label, str):
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if label.strip().lower() not in words:
            raise Unprocessable(f'A label of kto is true or false, not "{label}".')
        return words[label.strip().lower()]
    return bool(label)
