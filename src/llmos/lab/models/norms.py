"""Root-mean-square norms in few passes over the activations.

transformers writes `x * rsqrt(mean(x ** 2) + eps) * weight` as six operations, each over all activations:
an eighth of a step of a small model on a CPU. torch has the whole as one, which on CPUs is made of the same
parts again; there the way back is written out here, at half the time.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn


def use_whole_norms(model: nn.Module) -> int:
    """Let every norm of the Llama kind be one operation; the number of norms changed.

    Parameters, their names and what is saved stay as they are. Where activations and weights differ in
    type (autocast, bf16 activations) the norm computes as transformers wrote it.
    """
    norms = [module for module in model.modules() if _is_rms_norm(module)]
    for norm in norms:
        cast(Any, norm).__class__ = _whole(type(norm))
    return len(norms)


def _is_rms_norm(module: nn.Module) -> bool:
    return type(module).__name__.endswith("RMSNorm") and isinstance(
        getattr(module, "variance_epsilon", None), float
    )


def _whole(kind: type[nn.Module]) -> type[nn.Module]:
    if issubclass(kind, _Whole):
        return kind
    if kind not in _kinds:
        _kinds[kind] = type(kind.__name__, (_Whole, kind), {})
    return _kinds[kind]


_kinds: dict[type[nn.Module], type[nn.Module]] = {}


class _Whole(nn.Module):
    weight: Tensor
    variance_epsilon: float

    def forward(self, hidden_states: Tensor) -> Any:
        if hidden_states.dtype != torch.float32 or self.weight.dtype != torch.float32:
            return super().forward(hidden_states)
        if hidden_states.device.type == "cpu" and torch.is_grad_enabled():
            return _Norm.apply(hidden_states, self.weight, self.variance_epsilon)  # type: ignore[no-untyped-call]
        return torch.nn.functional.rms_norm(
            hidden_states, self.weight.shape, self.weight, self.variance_epsilon
        )


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        # One pass for the length of each vector, without their squares in between.
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = length.square_().mul_(1.0 / x.shape[-1]).add_(epsilon).rsqrt_()
        even = x * scale
        ctx.save_for_backward(even, weight, scale)
        out: Tensor = even * weight
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        even, weight, scale = ctx.saved_tensors
        (grad,), width = grads, even.shape[-1]
        both = (grad * even).reshape(-1, width)
        mean = (both @ weight).mul_(-1.0 / width).view(scale.shape)
        return torch.addcmul(grad * weight, even, mean).mul_(scale), both.sum(0), None
