"""Rotary positions in three passes over queries and keys instead of five, forth and back.

transformers writes `x * cos + rotate_half(x) * sin`, which copies halves, negates one and multiplies whole: a
twentieth of a step of a small model on a CPU.
"""

from __future__ import annotations

import inspect
import sys
from types import FunctionType
from typing import Any, cast

import torch
from torch import Tensor, nn

_NAME = "apply_rotary_pos_emb"


def use_whole_rotation(model: nn.Module) -> int:
    """Let attention of the Llama kind turn its queries and keys by `rotate`; the number of layers changed.

    Only where transformers' own function is, word for word, the one of Llama. Parameters, their names and
    what is saved stay as they are; on GPUs, in half precision and without gradients nothing changes.
    """
    layers = [module for module in model.modules() if _turns(type(module))]
    for layer in layers:
        cast(Any, layer).__class__ = _kind(type(layer))
    return len(layers)


def _turns(kind: type[nn.Module]) -> bool:
    forward = kind.forward
    if kind in _made.values():
        return True
    if not isinstance(forward, FunctionType) or forward.__closure__ or _NAME not in forward.__code__.co_names:
        return False
    from transformers.models.llama import modeling_llama

    place = sys.modules[kind.__module__]
    return all(
        _source(getattr(place, name, None)) == _source(getattr(modeling_llama, name))
        for name in (_NAME, "rotate_half")
    )


def _source(function: Any) -> str:
    return inspect.getsource(function) if inspect.isfunction(function) else ""


_made: dict[type[nn.Module], type[nn.Module]] = {}


def _kind(kind: type[nn.Module]) -> type[nn.Module]:
    """`kind` with the same forward pass, in which one name means `rotate`."""
    if kind in _made.values():
        return kind
    if kind not in _made:
        _made[kind] = _make(kind)
    return _made[kind]


def _make(kind: type[nn.Module]) -> type[nn.Module]:
    own = cast(FunctionType, kind.forward)
    names = own.__globals__ | {_NAME: _rotation(own.__globals__[_NAME])}
    forward = FunctionType(own.__code__, names, own.__name__, own.__defaults__, own.__closure__)
    forward.__kwdefaults__ = own.__kwdefaults__
    fields = {"forward": forward, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (kind,), fields)


def _rotation(usual: Any) -> Any:
    def turn(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1) -> tuple[Tensor, Tensor]:
        is_plain = q.device.type == "cpu" and q.dtype == cos.dtype == torch.float32
        if not is_plain or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            found: tuple[Tensor, Tensor] = usual(q, k, cos, sin, unsqueeze_dim=unsqueeze_dim)
            return found
        cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
        return rotate(q, cos, sin), rotate(k, cos, sin)

    return turn


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Each pair of `x`'s first and second half turned by its angle; both halves of `cos` and `sin` agree."""
    turned: Tensor = _Rotation.apply(x, cos, sin)  # type: ignore[no-untyped-call]
    return turned


class _Rotation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin, 1.0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turn(grads[0], cos, sin, -1.0), None, None


def _turn(x: Tensor, cos: Tensor, sin: Tensor, sign: float) -> Tensor:
    half = x.shape[-1] // 2
    out = x * cos
    out[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-sign)
    out[..., half:].addcmul_(x[..., :half], sin[..., half:], value=sign)
    return out
