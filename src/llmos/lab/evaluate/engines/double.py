"""A model in double precision, for what single precision is too coarse to decide."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Any

import torch

from llmos.lab.models.build import count_parameters

# A copy is made of models up to this size only (2 GiB).
MAX_PARAMETERS = 1 << 28


class Double:
    """Knows whether a model may be settled so, and copies it once, when that is first needed."""

    def __init__(self, model: Any) -> None:
        self._single = model

    @cached_property
    def is_possible(self) -> bool:
        """Other types than single precision are not exact anyway."""
        return self._single.dtype == torch.float32 and count_parameters(self._single)[0] <= MAX_PARAMETERS

    @cached_property
    def model(self) -> Any:
        return copy.deepcopy(self._single).double()
