"""Which sequence comes next: shuffled, the same on every machine, and resumable at any step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmos.lab.data.errors import DataError


class EpochOrder:
    """Indices 0..length-1 in a fresh order each epoch, endlessly.

    Epoch `e` is a permutation drawn from (seed, e) alone, so that the order does not depend on where
    a run was stopped. With several ranks each takes every `world`-th index; a last incomplete round
    of ranks is left out of that epoch, so that all ranks make the same number of steps.
    """

    def __init__(self, length: int, *, seed: int = 0, rank: int = 0, world: int = 1, shuffle: bool = True):
        if length < world:
            raise DataError(
                f"There are {length} sequences for {world} processes. Add data, shorten the sequence "
                "length, or train with fewer processes."
            )
        self.length, self.seed, self.rank, self.world, self.shuffle = length, seed, rank, world, shuffle
        self.epoch = 0
        self.position = 0

    @property
    def per_rank(self) -> int:
        return self.length // self.world

    def __iter__(self) -> Iterator[int]:
        while True:
            indices = self.indices(self.epoch)
            while self.position < self.per_rank:
                index = int(indices[self.position])
                self.position += 1
                yield index
            self.epoch, self.position = self.epoch + 1, 0

    def indices(self, epoch: int) -> Any:
        """This rank's indices of one epoch, as an array of int64."""
        import numpy as np

        if not self.shuffle:
            order = np.arange(self.length)
        else:
            order = np.random.Generator(np.random.PCG64([self.seed, epoch])).permutation(self.length)
        return order[self.rank : self.per_rank * self.world : self.world]

    def state_dict(self) -> dict[str, int]:
        """What `load_state_dict` needs to go on after the last index taken."""
        return {"epoch": self.epoch, "position": self.position, "length": self.length, "seed": self.seed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where `state` was taken; raises DataError when the data or the seed is another."""
        if (state["length"], state["seed"]) != (self.length, self.seed):
            raise DataError(
                f"The checkpoint was written for {state['length']} sequences and seed {state['seed']}, this "
                f"run has {self.length} and {self.seed}: the data or the recipe changed. Start a new run."
            )
        self.epoch, self.position = state["epoch"], state["position"]
