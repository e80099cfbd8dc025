"""The weights of the best look at the held-out part, kept for the end of a run that may stop early."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

FILE = "best.safetensors"
# Less is no gain.
LEAST_GAIN = 1e-4


class Best:
    """Those of the lowest loss so far, on the CPU: memory of graphics cards is dear.

    What is kept are the weights that are trained; of a run with an averaged copy that copy.
    """

    def __init__(self) -> None:
        self.loss, self.step = math.inf, 0
        self.weights: dict[str, Tensor] = {}

    def look(self, loss: float, step: int, model: Any, average: Any = None) -> bool:
        """Whether `loss` is a gain; keeps the weights if so."""
        if not loss < self.loss - LEAST_GAIN:
            return False
        self.loss, self.step = loss, step
        named = average.weights.items() if average else model.named_parameters()
        self.weights = {
            name: weight.detach().to("cpu", copy=True)
            for name, weight in named
            if average or weight.requires_grad
        }
        return True

    @torch.no_grad()
    def put_into(self, model: Any) -> None:
        for name, parameter in model.named_parameters():
            if name in self.weights:
                parameter.copy_(self.weights[name])

    def save(self, folder: Path) -> None:
        """Beside a checkpoint, for runs that go on from it."""
        if self.weights:
            facts = {"loss": repr(self.loss), "step": str(self.step)}
            save_file({n: w.contiguous() for n, w in self.weights.items()}, str(folder / FILE), facts)

    def load(self, folder: Path) -> None:
        if (folder / FILE).is_file():
            with safe_open(str(folder / FILE), "pt") as file:
                facts = file.metadata()
                self.weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            self.loss, self.step = float(facts["loss"]), int(facts["step"])
