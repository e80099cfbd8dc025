"""When to look, to save and to stop; the same for our trainer and TRL's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from llmos.lab.events import Reporter
from llmos.lab.outputs.energy import EnergyMeter
from llmos.lab.recipes.schema import Recipe
from llmos.lab.train import team
from llmos.lab.train.best import Best
from llmos.lab.train.trainer import Clock

_MOST_POINTS = 2000
_BAR_S = 0.2


def _thinned(history: Sequence[tuple[int, str, float]]) -> list[tuple[int, str, float]]:
    """The losses, at most some thousand of each: enough to draw."""
    found: list[tuple[int, str, float]] = []
    for name in dict.fromkeys(name for _, name, _ in history if name.endswith("loss")):
        points = [point for point in history if point[1] == name]
        found += points[:: len(points) // _MOST_POINTS + 1]
    return sorted(found, key=lambda point: point[0])


def _agreed(control: TrainerControl) -> TrainerControl:
    """Clocks differ between processes: what the first one decides is done by all."""
    if team.size() > 1:
        names = ("should_evaluate", "should_save", "should_training_stop")
        bits = int(team.agree(sum(getattr(control, name) << n for n, name in enumerate(names))))
        for n, name in enumerate(names):
            setattr(control, name, bool(bits >> n & 1))
    return control


class Course(TrainerCallback):
    """Curves, evaluation, checkpoints, the time limit and patience.

    Deterministic unless the recipe counts in minutes: what happens at a step follows from its number.
    """

    def __init__(
        self,
        recipe: Recipe,
        clock: Clock,
        reporter: Reporter,
        *,
        tokens: Any = None,
        meter: EnergyMeter | None = None,
    ) -> None:
        self._recipe, self._clock, self._reporter = recipe, clock, reporter
        self._tokens, self._meter = tokens, meter
        self._eval_every = recipe.evaluation.every_steps or max(1, clock.max_steps // 10)
        self._saved_at = self._looked_at = self._noted_at = time.monotonic()
        self._noted, self._drawn_at = (0, 0), 0.0
        # Without patience the last weights count, and none are kept beside them.
        self.best = Best() if recipe.evaluation.patience else None
        self._without_gain, self.seen_at = 0, -1
        self.why_stopped = ""

    def own_state(self) -> dict[str, Any]:
        """What patience has seen: a resumed run waits no longer than one that was never stopped.

        And what the card tells of the whole run: its losses so far, and the energy they took.
        """
        energy = self._meter.own_state() if self._meter else None
        history = _thinned(self._reporter.history)
        return {"without_gain": self._without_gain, "history": history, "energy": energy}

    def take_state(self, state: dict[str, Any]) -> None:
        self._reporter.history[:] = [
            (int(step), str(name), float(x)) for step, name, x in state.get("history", ())
        ]
        if self._meter and state.get("energy"):
            self._meter.take_state(state["energy"])
        self._without_gain = int(state.get("without_gain", 0))

    def save(self, folder: Path) -> None:
        """Further files of a checkpoint."""
        if self.best:
            self.best.save(folder)

    def load(self, folder: Path) -> None:
        if self.best:
            self.best.load(folder)

    def keep_best(self, trainer: Any) -> int:
        """Give the model its best weights, after a last look; their step, 0 without patience."""
        if not self.best:
            return 0
        if self.seen_at < trainer.state.global_step:
            trainer.evaluate()
        if not self.best.weights:
            return 0
        self.best.put_into(trainer.model)
        self._reporter.say(
            f"The weights are those of step {self.best.step}, the best on the held-out part "
            f"(loss {self.best.loss:.4g})."
        )
        return self.best.step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        step, now = state.global_step, time.monotonic()
        trainer = self._tokens() if self._tokens else None
        if trainer is not None:
            if trainer.average:
                trainer.average.update(trainer.model)
            if step % self._log_every() == 0 or step == 1:
                self._note(trainer, state, now)
        self._tell_progress(min(1.0, self._clock.done(step)), now)
        timed = self._recipe.training.max_minutes is not None and self._recipe.evaluation.every_steps is None
        if timed:
            share = (now - self._looked_at) / (6.0 * (self._recipe.training.max_minutes or 1))
            control.should_evaluate = share >= 1.0
        else:
            control.should_evaluate = step % self._eval_every == 0
        if control.should_evaluate:
            self._looked_at = now
        every = self._recipe.checkpoints.every_steps
        due = (
            step % every == 0
            if every
            else now - self._saved_at >= 60 * self._recipe.checkpoints.every_minutes
        )
        if due:
            control.should_save, self._saved_at = True, now
        if self._clock.done(step) >= 1.0:
            control.should_training_stop = True
        return _agreed(control)

    def _tell_progress(self, done: float, now: float) -> None:
        """Events see each step; a terminal a bar, drawn some times a second."""
        if now - self._drawn_at < _BAR_S and done < 1:
            self._reporter.progress(done * 100, 100, "%")
            return
        self._drawn_at = now
        left_s = self._clock.elapsed_s * (1 - done) / max(done, 1e-9)
        left = f"{left_s:.0f} s" if left_s < 100 else f"{left_s / 60:,.0f} min"
        self._reporter.bar(done * 100, 100, "%", what=f"Training, {left} left")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._reporter.end_bar()

    def _log_every(self) -> int:
        return max(1, min(10, self._clock.max_steps // 100))

    def _note(self, trainer: Any, state: TrainerState, now: float) -> None:
        step, tokens = state.global_step, trainer.tokens_seen
        loss = float(trainer._tr_loss) / max(1, step - trainer._globalstep_last_logged)
        trainer._tr_loss.zero_()
        trainer._globalstep_last_logged = step
        figures = {
            "train/loss": loss,
            "train/learning_rate": float(trainer.lr_scheduler.get_last_lr()[0]),
            "train/gradient_norm": trainer.steps.last_norm,
        }
        seconds, (_, before) = now - self._noted_at, self._noted
        if before and seconds > 0:
            figures["train/tokens_per_second"] = (tokens - before) / seconds
        self._noted, self._noted_at = (step, tokens), now
        self._reporter.metrics(step, figures)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """TRL's own figures; our trainer's are told where they arise."""
        if self._tokens is not None or not logs or "train_runtime" in logs:
            return
        figures = {}
        for name, value in logs.items():
            if isinstance(value, int | float) and not name.endswith(("epoch", "runtime", "per_second")):
                part, _, rest = name.partition("_")
                figures[f"eval/{rest}" if part == "eval" else f"train/{name}"] = float(value)
        self._reporter.metrics(state.global_step, figures)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> TrainerControl:
        self.seen_at = state.global_step
        patience = self._recipe.evaluation.patience
        loss = (metrics or {}).get("loss", (metrics or {}).get("eval_loss"))
        if self.best is None or loss is None:
            return control
        trainer = self._tokens() if self._tokens else None
        average = trainer.average if trainer is not None else None
        is_gain = self.best.look(loss, state.global_step, kwargs["model"], average)
        self._without_gain = 0 if is_gain else self._without_gain + 1
        if patience and self._without_gain >= patience:
            control.should_training_stop = True
            self.why_stopped = f"no gain in {patience} evaluations"
        return control
