"""One optimiser step: the whole batch in micro-batches, its gradient exact, its faults contained."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from llmos.lab.objectives.base import Batch
from llmos.lab.train import team
from llmos.lab.train.errors import NotANumber, OutOfMemory
from llmos.lab.train.shards import is_in_parts, whole

SPIKE = 10.0  # a gradient so many times longer than the usual one is not followed
_REMEMBERED = 50
# In fp16 losses are multiplied before the backward pass, so that small gradients do not vanish: as much as
# goes without overflow. The loss of a step is a sum over its tokens, which is a factor of thousands already.
_SCALE, _LEAST_SCALE, _MOST_SCALE = 16.0, 2.0**-16, 2.0**16
_STEPS_TO_GROW = 1000


class Steps:
    """Gradients of a batch of any size, spread over any number of processes.

    The loss is summed over micro-batches and divided once by all its tokens: the result does not depend
    on how the batch was cut. When memory ends, the step is begun again with half as many rows at once.
    """

    def __init__(
        self,
        loss: Callable[[Any, Batch], tuple[Tensor, int]],
        *,
        micro_batch: int,
        clip: float,
        precision: str,
        say: Callable[[str], None],
        together: bool = False,
    ) -> None:
        """`together`: processes meet within the pass, so that none may cut its rows otherwise alone."""
        self._together = together
        self._loss, self.micro_batch, self._clip, self._precision, self._say = (
            loss,
            micro_batch,
            clip,
            precision,
            say,
        )
        self._norms: list[float] = []
        self.skipped = 0
        self.last_norm = 0.0
        self._scale = _SCALE if precision == "fp16" else 1.0
        self._since = 0

    def gradients(self, model: nn.Module, batch: Batch, step: int) -> tuple[Tensor, int]:
        """Fill the gradients with those of the mean loss; give that loss and its number of tokens.

        Both are those of all processes together.

        Raises NotANumber before the weights can be spoilt, OutOfMemory when one row does not fit.
        """
        while True:
            try:
                loss, count = self._accumulate(model, batch)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not is_memory(error):
                    raise
                self._shrink(error)
                model.zero_grad(set_to_none=True)
                free_memory()
                continue
            if (done := self._finish(model, loss, count, step)) is not None:
                return done

    def _accumulate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, int]:
        total: Tensor | None = None
        count = 0
        for part in split(batch, self.micro_batch):
            with self._autocast(part):
                loss, n = self._loss(model, part)
            (loss * self._scale).backward()  # type: ignore[no-untyped-call]
            total = loss.detach() if total is None else total + loss.detach()
            count += n
        assert total is not None
        return total, count

    def _autocast(self, batch: Batch) -> Any:
        kind = next(iter(batch.values())).device.type
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self._precision, torch.bfloat16)
        return torch.autocast(kind, dtype=dtype, enabled=self._precision in ("bf16", "fp16"))

    def _shrink(self, error: BaseException) -> None:
        if self.micro_batch == 1 or self._together:
            rows = "one row" if self.micro_batch == 1 else f"{self.micro_batch} rows"
            raise OutOfMemory(
                f"There is not enough memory for {rows} at a time. Lower training.micro_batch, shorten "
                "training.sequence_length, choose a smaller model, or set training.gradient_checkpointing."
            ) from error
        self.micro_batch //= 2
        self._say(
            f"Memory ended: {self.micro_batch} rows at a time from now on; a step still takes all its rows."
        )

    def _finish(self, model: nn.Module, loss: Tensor, count: int, step: int) -> tuple[Tensor, int] | None:
        """Sum over processes, divide by the tokens, check, clip. None: the step has to be done again."""
        params = [p for p in model.parameters() if p.grad is not None]
        grads = [p.grad for p in params if p.grad is not None]
        loss, count = reduce_gradients(grads, loss, count)
        torch._foreach_mul_(grads, 1.0 / (max(count, 1) * self._scale))
        limit = self._clip if self._clip > 0 else float("inf")
        norm = float(whole(torch.nn.utils.get_total_norm(grads)))
        if not math.isfinite(norm) or not bool(torch.isfinite(loss)):
            model.zero_grad(set_to_none=True)
            if bool(torch.isfinite(loss)) and self._lower_scale():
                return None
            raise NotANumber(
                f"The loss is not a number at step {step + 1} (loss {float(loss) / max(count, 1):.4g}, "
                f"gradient {norm:.4g}). The weights are those of step {step}. "
                "Lower optimiser.learning_rate, lengthen schedule.warmup, or train in fp32."
            )
        self.last_norm = norm
        self._raise_scale()
        if self._is_spike(norm):
            self.skipped += 1
            self._say(f"Step {step + 1}: the gradient of {norm:.3g} is a spike and is not followed.")
            model.zero_grad(set_to_none=True)  # with none, neither momentum nor decay move a weight
        elif norm > limit:
            torch._foreach_mul_(grads, limit / (norm + 1e-6))
        return loss / max(count, 1), count

    def _lower_scale(self) -> bool:
        """After an overflow of fp16; all processes see the same sum and do the same."""
        if self._precision != "fp16" or self._scale <= _LEAST_SCALE:
            return False
        self._scale, self._since = self._scale / 2, 0
        return True

    def _raise_scale(self) -> None:
        self._since += 1
        if self._precision == "fp16" and self._since >= _STEPS_TO_GROW:
            self._scale, self._since = min(self._scale * 2, _MOST_SCALE), 0

    def _is_spike(self, norm: float) -> bool:
        is_spike = len(self._norms) == _REMEMBERED and norm > SPIKE * median(self._norms)
        self._norms = [*self._norms[-_REMEMBERED + 1 :], norm]
        return is_spike

    def state_dict(self) -> dict[str, Any]:
        return {
            "norms": self._norms,
            "skipped": self.skipped,
            "micro_batch": self.micro_batch,
            "scale": self._scale,
            "since": self._since,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._norms, self.skipped = list(state["norms"]), int(state["skipped"])
        self.micro_batch = int(state["micro_batch"])
        if self._precision == "fp16":
            self._scale, self._since = float(state["scale"]), int(state["since"])


def split(batch: Batch, rows: int) -> Iterator[Batch]:
    """The batch in parts of at most `rows` rows."""
    length = len(next(iter(batch.values())))
    for start in range(0, length, rows):
        yield {name: value[start : start + rows] for name, value in batch.items()}


def reduce_gradients(grads: list[Tensor], loss: Tensor, count: int) -> tuple[Tensor, int]:
    """Sum gradients, losses and counts over all processes of a distributed run."""
    if team.size() == 1:
        return loss, count
    total, tokens = team.add_up([float(loss), float(count)], loss.device)
    summed = torch.tensor(total, dtype=loss.dtype, device=loss.device), int(tokens)
    if is_in_parts(grads):
        return summed  # the backward pass has met already
    flat = torch.cat([grad.reshape(-1) for grad in grads])
    torch.distributed.all_reduce(flat)
    at = 0
    for grad in grads:
        grad.copy_(flat[at : at + grad.numel()].view_as(grad))
        at += grad.numel()
    return summed


def is_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text


def free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
