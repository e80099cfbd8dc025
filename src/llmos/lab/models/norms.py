"""Root-mean-square norms in one operation.

transformers writes `x * rsqrt(mean(x ** 2) + eps) * weight` as six operations, each over all activations:
an eighth of a step of a small model on a CPU. torch has the whole as one.
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
        return torch.nn.functional.rms_norm(
            hidden_states, self.weight.shape, self.weight, self.variance_epsilon
        )
