"""An averaged copy of the weights, often better than the last ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

FILE = "average.safetensors"


class Average:
    """Exponential moving average of the trainable weights."""

    def __init__(self, model: Any, memory: float) -> None:
        self.memory = memory
        self.weights = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        self.updates = 0

    @torch.no_grad()
    def update(self, model: Any) -> None:
        self.updates += 1
        # The first weights are noise: remember little of them.
        memory = min(self.memory, self.updates / (self.updates + 10))
        named = [(n, p) for n, p in model.named_parameters() if n in self.weights]
        own = [self.weights[n] for n, _ in named]
        torch._foreach_lerp_(own, [p.detach() for _, p in named], 1.0 - memory)

    @torch.no_grad()
    def put_into(self, model: Any) -> None:
        for name, parameter in model.named_parameters():
            if name in self.weights:
                parameter.copy_(self.weights[name])

    def save(self, folder: Path) -> None:
        save_file(
            {n: w.contiguous() for n, w in self.weights.items()}, str(folder / FILE), {"n": str(self.updates)}
        )

    def load(self, folder: Path) -> None:
        if (folder / FILE).is_file():
            from safetensors import safe_open

            places = {name: weight.device for name, weight in self.weights.items()}
            self.weights = {
                n: w.to(places.get(n, w.device)) for n, w in load_file(str(folder / FILE)).items()
            }
            with safe_open(str(folder / FILE), "pt") as file:
                self.updates = int((file.metadata() or {}).get("n", "0"))
