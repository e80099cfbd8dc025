"""Tokens a second of a training, beside the products of matrices that the machine manages meanwhile."""

from __future__ import annotations

import time

WARM_UP_STEPS = 2
MATRIX, MATRIX_ON_GPU = 1024, 8192
STEPS_BETWEEN, PRODUCTS = 5, 4


class Stopwatch:
    """Counts tokens over the steps after the warm-up.

    Now and then it measures the machine by a matrix product, outside the time that counts: the speed of a
    shared machine changes within seconds, and a step and the product must see the same of it.
    """

    def __init__(self, seconds: float, precision: str, device: str = "cpu") -> None:
        import torch

        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._side = MATRIX_ON_GPU if device == "cuda" else MATRIX
        self._factors = [torch.randn(self._side, self._side, device=device).to(dtype) for _ in range(2)]
        # A graphics card computes on after the call has returned.
        self._wait = torch.cuda.synchronize if device == "cuda" else lambda: None
        self.seconds, self.steps, self.tokens, self.took, self._resumed = seconds, 0, 0, 0.0, 0.0
        self._products, self._product_s = 0, 0.0

    def step(self, tokens: int) -> bool:
        """After a step with `tokens` tokens; whether it was the last."""
        self.steps += 1
        self._wait()
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
        self._wait()
        started = time.perf_counter()
        for _ in range(PRODUCTS):
            torch.mm(*self._factors)
        self._wait()
        self._product_s += time.perf_counter() - started
        self._products += PRODUCTS

    @property
    def matrix_flops(self) -> float:
        """Floating-point operations a second of a product of two square matrices, on average over the run."""
        return 2 * self._side**3 * self._products / self._product_s
