"""Tokens a second of a training, beside the products of matrices that the machine manages meanwhile."""

from __future__ import annotations

import time

WARM_UP_STEPS = 2
MATRIX = 1024
STEPS_BETWEEN, PRODUCTS = 5, 4


class Stopwatch:
    """Counts tokens over the steps after the warm-up.

    Now and then it measures the machine by a matrix product, outside the time that counts: the speed of a
    shared machine changes within seconds, and a step and the product must see the same of it.
    """

    def __init__(self, seconds: float, precision: str) -> None:
        import torch

        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._factors = [torch.randn(MATRIX, MATRIX).to(dtype) for _ in range(2)]
        self.seconds, self.steps, self.tokens, self.took, self._resumed = seconds, 0, 0, 0.0, 0.0
        self._products, self._product_s = 0, 0.0

    def step(self, tokens: int) -> bool:
        """After a step with `tokens` tokens; whether it was the last."""
        self.steps += 1
        if self.steps > WARM_UP_STEPS:
            self.tokens += tokens
            self.took += time.perf_counter() - self._resumed
        if self.steps >= WARM_UP_STEPS and (self.steps - WARM_UP_STEPS) % STEPS_BETWEEN == 0:
            self._measure_machine()
        self._resumed = time.perf_counter()
        return self.took >= self.seconds

    def _measure_machine(self) -> None:
        import torch

        torch.mm(*self._factors)  # they are far from the processor by now
        started = time.perf_counter()
        for _ in range(PRODUCTS):
            torch.mm(*self._factors)
        self._product_s += time.perf_counter() - started
        self._products += PRODUCTS

    @property
    def matrix_flops(self) -> float:
        """Floating-point operations a second of a product of two square matrices, on average over the run."""
        return 2 * MATRIX**3 * self._products / self._product_s
