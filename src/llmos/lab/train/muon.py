"""Muon with its orthogonalisation made cheap: matrices of one shape at once, and few products.

The update of a matrix is its momentum with all singular values brought near one, by a polynomial of odd
powers applied a few times (Newton-Schulz). torch's own takes matrices one after the other, in bf16, which
most CPUs only emulate, and five steps from the Frobenius norm. Here

- the first step knows a closer bound of the largest singular value, from products it needs anyway;
- the polynomials differ from step to step, each the best one for what the step before leaves
  (minimax; Amsel et al. 2025, "The Polar Express"), so that three do nearly what five equal ones do;
- a matrix much longer than wide is iterated in its small square product with itself;
- queries, keys and values are taken head by head: they mean nothing to each other, and small ones are cheap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from llmos.lab.train.device import has_bf16_units

Polynomial = tuple[float, float, float]
# a x + b x^3 + c x^5, the least greatest distance from one over [0.01, 1], and then over what that leaves.
# Singular values in that range come out between 0.73 and 1.27; torch's five steps give 0.68 to 1.2.
COURSE: tuple[Polynomial, ...] = (
    (8.0934, -23.6205, 17.4462),
    (3.6366, -2.7219, 0.5365),
    (2.6613, -1.9772, 0.4526),
)
_EPS = 1e-7
_AT_ONCE = 1 << 24  # numbers in a stack: 64 MB in single precision
_LONG = 1.5  # times as long as wide: from here on the square product saves work


class Muon(torch.optim.Muon):
    """Takes and keeps the state of torch's Muon; only the matrices' updates are computed otherwise.

    `heads` says of matrices, by their id, of how many blocks of rows they consist.
    """

    def __init__(
        self,
        params: Sequence[Tensor] | Sequence[dict[str, Any]],
        *,
        heads: Mapping[int, int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(params, **options)
        self.heads = dict(heads or {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            updates = self._momentum(params, group["momentum"])
            torch._foreach_mul_(params, 1.0 - group["lr"] * group["weight_decay"])
            places = [block for p in params for block in self._blocks(p, p)]
            blocks = [
                block for p, update in zip(params, updates, strict=True) for block in self._blocks(p, update)
            ]
            for numbers in _stacks(blocks):
                stack = torch.stack([_wide(blocks[n]) for n in numbers])
                for n, direction in zip(numbers, orthogonal(stack).unbind(), strict=True):
                    rows, columns = blocks[n].shape
                    turned = direction.T if rows > columns else direction
                    places[n].add_(turned, alpha=-group["lr"] * math.sqrt(max(1.0, rows / columns)))

    def _blocks(self, param: Tensor, matrix: Tensor) -> tuple[Tensor, ...]:
        return matrix.chunk(self.heads.get(id(param), 1))

    def _momentum(self, params: Sequence[Tensor], memory: float) -> list[Tensor]:
        """Nesterov's: the gradient and what it was before, after taking it in."""
        grads = [p.grad for p in params if p.grad is not None]
        for p, grad in zip(params, grads, strict=True):
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(grad)
        buffers = [self.state[p]["momentum_buffer"] for p in params]
        torch._foreach_lerp_(buffers, grads, 1.0 - memory)
        return list(torch._foreach_lerp(grads, buffers, memory))


def _wide(matrix: Tensor) -> Tensor:
    return matrix.T if matrix.shape[0] > matrix.shape[1] else matrix


def _stacks(matrices: Sequence[Tensor]) -> Iterator[list[int]]:
    """The places of matrices that have one shape when laid on their side, as many as may be held at once."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for n, matrix in enumerate(matrices):
        by_shape.setdefault(tuple(_wide(matrix).shape), []).append(n)
    for (rows, columns), found in by_shape.items():
        size = max(1, _AT_ONCE // (rows * columns))
        for start in range(0, len(found), size):
            yield found[start : start + size]


def orthogonal(stack: Tensor) -> Tensor:
    """Each matrix of (n, rows, columns), rows <= columns, with its singular values brought near one.

    In bf16 where the processor multiplies in it, in single precision elsewhere.
    """
    x = stack.to(_type_for(stack))
    # So that squares neither overflow nor vanish; what is left of the scale is dealt with below.
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=_EPS)
    if x.dtype == torch.float32 and x.shape[2] >= _LONG * x.shape[1]:
        return _by_square(x, COURSE).to(stack.dtype)
    return _by_steps(x, COURSE).to(stack.dtype)


def _type_for(stack: Tensor) -> torch.dtype:
    if stack.is_cuda or (stack.device.type == "cpu" and has_bf16_units()):
        return torch.bfloat16
    return stack.dtype


def _by_steps(x: Tensor, course: Sequence[Polynomial]) -> Tensor:
    for n, (a, b, c) in enumerate(course):
        square = x @ x.mT
        if n == 0:
            square, factor, scale = _first(square, b, c)
            x = x * scale
        else:
            factor = torch.baddbmm(square, square, square, beta=b, alpha=c)
        x = torch.baddbmm(x, factor, x, beta=a)
    return x


def _by_square(x: Tensor, course: Sequence[Polynomial]) -> Tensor:
    """The same, but for rounding: polynomials of x x^T commute, so x itself is needed only at the end.

    In bf16 the small singular values would be lost in the square.
    """
    square = x @ x.mT
    whole: Tensor | None = None
    for n, (a, b, c) in enumerate(course):
        if n == 0:
            square, factor, scale = _first(square, b, c)
        else:
            factor = torch.baddbmm(square, square, square, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        whole = factor if whole is None else factor @ whole
        if n < len(course) - 1:
            square = factor @ (square @ factor)
    assert whole is not None
    return (whole * scale) @ x


def _first(square: Tensor, b: float, c: float) -> tuple[Tensor, Tensor, Tensor]:
    """The square with no eigenvalue above one, `b square + c square^2` of it, and the scale of x."""
    fourth = square @ square
    top = _greatest(fourth)
    square = square / top
    return square, fourth.mul_(c / (top * top)).add_(square, alpha=b), top.rsqrt()


def _greatest(fourth: Tensor) -> Tensor:
    """No less than the largest eigenvalue of the square, and far closer to it than the square's trace."""
    norm: Tensor = fourth.float().norm(dim=(1, 2), keepdim=True)
    return norm.sqrt().clamp(min=_EPS).to(fourth.dtype)
