"""One model in parts on several processes (torch's fully_shard): each holds a share of every weight, of its
gradient and of the optimiser's moments, and sees a layer whole only while it computes with it.

Tried on CPUs with gloo only. Everything here is reached by all processes together.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

from llmos.lab.objectives.base import Batch, Objective
from llmos.lab.train import team

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


class Shards:
    """Splits `model` where it is, layer by layer; `objective` knows its head already."""

    def __init__(self, model: Any, objective: Objective, layers: list[Any]) -> None:
        team.check_same("weights to begin with", _digest(model))
        self._model, self._kind, self._config = model, type(model), copy.deepcopy(model.config)
        self._generation = copy.deepcopy(getattr(model, "generation_config", None))
        mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (team.size(),))
        for block in [*layers, model]:
            fully_shard(block, mesh=mesh)
        for module in model.modules():
            if isinstance(module, FSDPModule):
                # `Steps` divides by all tokens itself; and sums are what every backend knows.
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)
        # The losses call the body and the head apart: what the model as a whole owns must be there for both.
        model.lab_loss = lambda batch: objective.loss(model, batch)
        model.lab_look = lambda batches, intervals: objective.evaluate(model, batches, intervals=intervals)
        for name in ("lab_loss", "lab_look"):
            register_fsdp_forward_method(model, name)

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, int]:
        found: tuple[Tensor, int] = self._model.lab_loss(batch)
        return found

    def evaluate(self, batches: Iterator[Batch], *, intervals: bool) -> dict[str, float]:
        """Of the same batches in all processes, whose figures are the same."""
        found: dict[str, float] = self._model.lab_look(batches, intervals)
        return found

    def gather(self, optimizer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Weights and the optimiser's state, whole, in the first process; nothing in the others."""
        weights = get_model_state_dict(self._model, options=_WHOLE)
        return weights, get_optimizer_state_dict(self._model, optimizer, options=_WHOLE)

    def take_weights(self, folder: Path) -> None:
        """Those of a checkpoint's whole files."""
        weights = {
            k: t for path in sorted(folder.glob("model*.safetensors")) for k, t in load_file(path).items()
        }
        # Of weights that two names share only one is in the file.
        options = StateDictOptions(full_state_dict=True, strict=False)
        set_model_state_dict(self._model, dict(weights), options=options)

    def take_state(self, optimizer: Any, state: dict[str, Any]) -> None:
        set_optimizer_state_dict(self._model, optimizer, state, options=_WHOLE)

    def whole_model(self) -> Any:
        """An ordinary model with what was learnt, on the CPU of the first process; None in the others."""
        weights = get_model_state_dict(self._model, options=_WHOLE)
        if not team.is_first():
            return None
        model = self._kind(self._config)
        model.load_state_dict(weights)
        model.generation_config = self._generation
        return model


def is_in_parts(grads: list[Tensor]) -> bool:
    return bool(grads) and hasattr(grads[0], "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """The sum over all parts, where there are parts."""
    found: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return found


def _digest(model: nn.Module) -> str:
    found = sha256()
    for parameter in model.parameters():
        found.update(parameter.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
