"""The learning rate's course, by how much of the run is done.

A run may be limited by steps and by minutes; `done` is the larger share, so that the rate ends where it
should whichever limit comes first. A run limited by steps alone repeats bit by bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch.optim.lr_scheduler import LambdaLR

from llmos.lab.recipes.schema import Schedule


def rate(schedule: Schedule, done: float) -> float:
    """The learning rate as a share of its peak, at `done` (0 to 1) of the run."""
    done = min(max(done, 0.0), 1.0)
    if done < schedule.warmup:
        return done / schedule.warmup
    floor = schedule.floor
    if schedule.name == "constant":
        return 1.0
    if schedule.name == "wsd":
        left = (1.0 - done) / schedule.decay
        # A square-root decay: "1-sqrt", Hägele et al. 2024.
        return 1.0 if left >= 1.0 else floor + (1.0 - floor) * (1.0 - math.sqrt(1.0 - left))
    course = (done - schedule.warmup) / max(1e-9, 1.0 - schedule.warmup)
    if schedule.name == "linear":
        return 1.0 - (1.0 - floor) * course
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * course))


class ShareScheduler(LambdaLR):
    """Sets all groups' rates from `done(steps)`; saved and loaded like any scheduler."""

    def __init__(self, optimizer: Any, schedule: Schedule, done: Callable[[int], float]) -> None:
        # The rate of a step is that of its end: never 0 in the first one.
        super().__init__(optimizer, lambda steps: max(rate(schedule, done(steps + 1)), 1e-3))
