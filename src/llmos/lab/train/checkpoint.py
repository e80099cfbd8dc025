"""Checkpoints that are whole or not there, and hold nothing that could run.

A checkpoint is all that is needed to go on, on this machine or another one: weights, averaged weights,
tokenizer, the optimiser's and the schedule's state, where the random generators stood, and what the run
counts. On CPUs with as many threads it continues bit by bit.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from llmos.lab.train import team
from llmos.lab.train.errors import TrainingStopped
from llmos.lab.train.state_files import load_tree, random_state, save_tree, set_random_state, tree_bytes

OPTIMISER = "optimizer.safetensors"
_RANDOM = "random{}.safetensors"
# Written last: a folder without it was cut short.
MARKER = "lab_state.json"
_NAME = re.compile(r"^checkpoint-(\d+)$")


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the most steps in `folder` that was written to its end, or None."""
    found = [
        (int(match[1]), path)
        for path in (folder.iterdir() if folder.is_dir() else ())
        if (match := _NAME.match(path.name)) and (path / MARKER).is_file()
    ]
    return max(found)[1] if found else None


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Make a checkpoint whole, and its files durable."""
    for path in sorted(folder.iterdir()):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
    part = folder / f"{MARKER}.part"
    with part.open("w", encoding="utf-8") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.rename(folder / MARKER)


def read_state(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    return value


def random_file(folder: Path, rank: int) -> Path:
    """Where a process keeps how its random generators stood."""
    return folder / _RANDOM.format(f"-{rank}" if rank else "")


class WholeCheckpoints:
    """Laid over a Trainer: its checkpoints are marked when whole, hold no pickles, are told.

    A checkpoint that cannot be written (no room left) does not end the run: the one before it is whole.
    """

    reporter: Any
    clock: Any
    state: Any
    args: Any
    model: Any
    optimizer: Any
    lr_scheduler: Any
    accelerator: Any
    callback_handler: Any
    shards: Any = None
    _randoms: list[bytes]
    # Gathered for a checkpoint of a model in parts: weights, and the optimiser's state.
    _gathered: tuple[dict[str, Any], dict[str, Any]] | None = None

    def own_state(self) -> dict[str, Any]:
        """What must be known to go on, beside what Trainer saves."""
        course = {key: value for one in self._courses() for key, value in one.own_state().items()}
        return {"elapsed_s": self.clock.elapsed_s, "threads": torch.get_num_threads(), "course": course}

    def take_state(self, state: dict[str, Any]) -> None:
        self.clock.restart(float(state["elapsed_s"]))
        for course in self._courses():
            course.take_state(state.get("course", {}))
        before, now = state.get("threads"), torch.get_num_threads()
        if before and before != now:
            self.reporter.say(
                f"The checkpoint was computed with {before} threads, this machine uses {now}: "
                "sums may differ in their last digits."
            )

    def _courses(self) -> list[Any]:
        return [one for one in self.callback_handler.callbacks if hasattr(one, "own_state")]

    def save_more(self, folder: Path) -> None:
        """Further files of a checkpoint."""

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        state_dict = self._gathered[0] if self._gathered else state_dict
        super()._save(output_dir, state_dict)  # type: ignore[misc]
        # A pickle nobody needs; scanners rightly frown on it.
        Path(output_dir or str(self.args.output_dir), "training_args.bin").unlink(missing_ok=True)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.args.should_save:
            return
        own = self._gathered[1] if self._gathered else self.optimizer.state_dict()
        state = {"optimizer": own, "scheduler": self.lr_scheduler.state_dict()}
        if scaler := getattr(self.accelerator, "scaler", None):
            state["scaler"] = scaler.state_dict()
        save_tree(Path(output_dir, OPTIMISER), state)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        if not Path(checkpoint, OPTIMISER).is_file():
            self.reporter.say(f"{Path(checkpoint).name} holds no state of the optimiser: it begins anew.")
            return
        state = load_tree(Path(checkpoint, OPTIMISER))
        self._take_optimizer(state["optimizer"])
        self.lr_scheduler.load_state_dict(state["scheduler"])
        scaler = getattr(self.accelerator, "scaler", None)
        if scaler is not None and "scaler" in state:
            scaler.load_state_dict(state["scaler"])

    def _take_optimizer(self, state: dict[str, Any]) -> None:
        groups = state.get("param_groups") or [{"params": []}]
        # Of a model in parts weights go by their names, otherwise by numbers.
        was_split = any(isinstance(name, str) for name in groups[0]["params"])
        if was_split != bool(self.shards):
            raise TrainingStopped(
                f"The checkpoint was written {'with' if was_split else 'without'} training.distributed: fsdp "
                "on several processes; go on as it began, or choose another output folder.",
                code="OtherRun",
            )
        if self.shards:
            self.shards.take_state(self._bare_optimizer(), state)
        else:
            self.optimizer.load_state_dict(state)

    def _bare_optimizer(self) -> Any:
        return getattr(self.optimizer, "optimizer", self.optimizer)

    def _save_scaler(self, output_dir: str) -> None:
        """With the optimiser."""

    def _load_scaler(self, checkpoint: str | None) -> None:
        """With the optimiser."""

    def _save_rng_state(self, output_dir: str) -> None:
        if self.args.should_save:
            for rank, state in enumerate(self._randoms):
                random_file(Path(output_dir), rank).write_bytes(state)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None and random_file(Path(checkpoint), team.rank()).is_file():
            set_random_state(load_tree(random_file(Path(checkpoint), team.rank())))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        # Before anything can fail in one process only.
        self._randoms = team.collect(tree_bytes(random_state()))
        self._gathered = self.shards.gather(self._bare_optimizer()) if self.shards else None
        try:
            super()._save_checkpoint(model, trial)  # type: ignore[misc]
            if not team.is_first():
                return
            self.save_more(folder)
            for course in self._courses():
                course.save(folder)
            write_state(folder, self.own_state())
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            self.reporter.say(
                f"The checkpoint of step {self.state.global_step} could not be written: {error}"
            )
            return
        finally:
            self._gathered = None
        self.reporter.checkpoint(folder, self.state.global_step)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        if self.shards:
            self.shards.take_weights(folder)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]
        if (folder / MARKER).exists():
            self.take_state(read_state(folder))
            for course in self._courses():
                course.load(folder)
