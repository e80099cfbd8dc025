"""How a run ends before its end, said so that somebody can mend it."""

from __future__ import annotations

from llmos.core.errors import LlmosError


class TrainingStopped(LlmosError):
    """A run that cannot go on; what was learnt before is in the newest checkpoint."""

    status = 422
    code = "TrainingStopped"


class NotANumber(TrainingStopped):
    """The loss or the gradient is not a number; the weights are those of the step before."""

    code = "LossNotANumber"


class OutOfMemory(TrainingStopped):
    """Not even one row at a time fits."""

    code = "OutOfMemory"


def exit_code(code: str) -> int:
    """Of a process refused with this code: 1 when the run stopped early, 2 when it could not begin."""
    stopped = (NotANumber.code, OutOfMemory.code, TrainingStopped.code, "EndpointFailed")
    return 1 if code in stopped else 2
