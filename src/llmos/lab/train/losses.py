"""Cross-entropy of a vocabulary projection without ever holding all logits.

The usual way writes logits, their softmax and their gradient, each tokens x vocabulary, to memory. Here
a chunk of rows at a time is projected, turned into its gradient where it lies, and multiplied back:
the same three matrix products, a fraction of the memory traffic, and memory for one chunk only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

IGNORED = -100
CHUNK_ELEMENTS = 1 << 20  # logits of a chunk: 4 MB in single precision, about a core's cache


class _ProjectedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, chunk: int
    ) -> Tensor:
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight)
        grad_bias = None if bias is None else torch.zeros_like(bias)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, len(hidden), chunk):
            rows, wanted = hidden[start : start + chunk], targets[start : start + chunk, None]
            logits = rows @ weight.t() if bias is None else torch.addmm(bias, rows, weight.t())
            logits = logits.float()
            norm = torch.logsumexp(logits, dim=1, keepdim=True)
            total += (norm - logits.gather(1, wanted)).sum()
            grad = logits.sub_(norm).exp_()
            grad.scatter_add_(1, wanted, torch.full_like(norm, -1.0))
            grad = grad.to(weight.dtype)
            torch.mm(grad, weight, out=grad_hidden[start : start + chunk])
            grad_weight.addmm_(grad.t(), rows)
            if grad_bias is not None:
                grad_bias += grad.sum(0)
        ctx.save_for_backward(grad_hidden, grad_weight, *([] if grad_bias is None else [grad_bias]))
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight, *rest = ctx.saved_tensors
        scale = grads[0]
        # The saved gradients are used once; scaling them in place saves two passes over them.
        scaled = [tensor.mul_(scale.to(tensor.dtype)) for tensor in (grad_hidden, grad_weight, *rest)]
        return scaled[0], scaled[1], scaled[2] if rest else None, None, None


def projected_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, *, bias: Tensor | None = None
) -> tuple[Tensor, int]:
    """The summed cross-entropy (nats) of `hidden @ weight.T + bias`, and the number of targets.

    hidden (..., width), weight (vocabulary, width), targets (...) with -100 where nothing is counted;
    rows that do not count are not projected. Backward may run once.
    """
    flat = targets.reshape(-1)
    counted = flat != IGNORED
    rows = hidden.reshape(-1, hidden.shape[-1])
    n = int(counted.sum())
    if n < len(flat):
        rows, flat = rows[counted], flat[counted]
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        rows, weight, bias = rows.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    chunk = max(16, CHUNK_ELEMENTS // weight.shape[0]) if hidden.device.type == "cpu" else 8192
    if not torch.is_grad_enabled():
        return _summed(rows, weight, bias, flat, chunk), n
    loss: Tensor = _ProjectedCrossEntropy.apply(rows, weight, bias, flat, chunk)  # type: ignore[no-untyped-call]
    return loss, n


def _summed(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, chunk: int) -> Tensor:
    total = torch.zeros((), device=hidden.device)
    for start in range(0, len(hidden), chunk):
        logits = torch.nn.functional.linear(hidden[start : start + chunk], weight, bias).float()
        total += torch.nn.functional.cross_entropy(logits, targets[start : start + chunk], reduction="sum")
    return total
