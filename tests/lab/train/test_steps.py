"""One step of the optimiser: a gradient far longer than those before it moves nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from llmos.lab.recipes.schema import Optimiser
from llmos.lab.train.optim import make_optimizer
from llmos.lab.train.steps import SPIKE, Steps


def loss(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, int]:
    return model(batch["x"]).sum() * batch["weight"].mean() * len(batch["x"]), len(batch["x"])


def batch(weight: float) -> dict[str, Tensor]:
    return {"x": torch.ones(4, 8), "weight": torch.full((4,), weight)}


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_spike_is_not_followed(optimiser: Any) -> None:
    """Neither by its gradient nor by momentum and decay of the step; the next one goes on."""
    torch.manual_seed(1)
    model, told = nn.Linear(8, 4), list[str]()
    choice = Optimiser(name=optimiser, learning_rate=1e-2, weight_decay=0.1, beta2=0.95)
    optimizer = make_optimizer(model, choice)
    steps = Steps(loss, micro_batch=2, clip=1.0, precision="fp32", say=told.append)

    def step(number: int, weight: float) -> None:
        steps.gradients(model, batch(weight), number)
        optimizer.step()
        optimizer.zero_grad()

    for number in range(50):
        step(number, 1.0 + 0.01 * number)
    assert steps.skipped == 0
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    step(50, 20.0)
    assert steps.skipped == 1
    assert "Step 51: the gradient of" in told[0]
    assert str((model.state_dict(), optimizer.state_dict())) == str(before)
    step(51, 1.0)
    assert not torch.equal(model.weight, before[0]["weight"])


def test_a_long_gradient_is_clipped_where_it_is_no_spike() -> None:
    model = nn.Linear(8, 4)
    steps = Steps(loss, micro_batch=4, clip=1.0, precision="fp32", say=print)
    for number in range(50):
        steps.gradients(model, batch(1.0), number)
        model.zero_grad()
    steps.gradients(model, batch(0.9 * SPIKE), 50)
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    assert (steps.skipped, float(norm)) == (0, pytest.approx(1.0, rel=1e-3))
