"""Optimisers of a recipe: AdamW, or Muon for matrices with AdamW for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from llmos.lab.recipes.schema import Optimiser
from llmos.lab.train.muon import Muon

# Embeddings and heads are matrices by shape but tables by nature: Muon does not suit them.
_TABLES = ("embed", "wte", "wpe", "shared", "lm_head", "decoder.weight", "relative_attention_bias")


# T5 adds what it knows of distances to the scores themselves: units, where weights are hundredths.
_DISTANCES, _DISTANCES_RATE = "relative_attention_bias", 25.0
_Named = Sequence[tuple[str, nn.Parameter]]


def make_optimizer(model: nn.Module, choice: Optimiser) -> torch.optim.Optimizer:
    """The optimiser over the trainable parameters; vectors (norms, biases) do not decay."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if choice.name == "adamw":
        return _adamw(choice, named)
    matrices = [(name, p) for name, p in named if p.ndim == 2 and not any(word in name for word in _TABLES)]
    ids = {id(p) for _, p in matrices}
    rest = _adamw(choice, [(name, p) for name, p in named if id(p) not in ids])
    return Both(_muon(model, choice, matrices), rest) if matrices else rest


def _muon(model: nn.Module, choice: Optimiser, matrices: _Named) -> Muon:
    """Its steps are of one size whatever a matrix is for. T5 folds the scale of attention into its queries,
    which are that much smaller than other matrices: so are their steps, or attention would freeze."""
    assert choice.weight_decay is not None
    rate, scale = choice.muon_learning_rate, _scale_of_queries(model)
    queries = {id(p) for name, p in matrices if scale != 1.0 and name.endswith(".q.weight")}
    groups = [{"params": [p for _, p in matrices if id(p) not in queries], "lr": rate}]
    if queries:
        groups.append({"params": [p for _, p in matrices if id(p) in queries], "lr": rate * scale})
    heads = _heads(model, matrices)
    return Muon(groups, heads=heads, lr=rate, weight_decay=choice.weight_decay)


def _scale_of_queries(model: nn.Module) -> float:
    config = getattr(model, "config", None)
    if getattr(config, "model_type", None) not in ("t5", "mt5", "umt5"):
        return 1.0
    return float(config.d_kv**-0.5)  # type: ignore[union-attr]


def _heads(model: nn.Module, named: _Named) -> dict[int, int]:
    """How many heads the rows of queries, keys and values make, by the parameter's id."""
    config = getattr(model, "config", None)
    many = int(getattr(config, "num_attention_heads", None) or 1)
    of = {"q_proj": many, "k_proj": int(getattr(config, "num_key_value_heads", None) or many)}
    of["v_proj"] = of["k_proj"]
    found = {id(p): of.get(name.removesuffix(".weight").rpartition(".")[2], 1) for name, p in named}
    return {key: count for key, count in found.items() if count > 1}


def _adamw(choice: Optimiser, named: _Named) -> torch.optim.AdamW:
    assert choice.learning_rate is not None
    assert choice.beta2 is not None
    distances = [p for name, p in named if _DISTANCES in name]
    ids = {id(p) for p in distances}
    decayed = [p for _, p in named if p.ndim >= 2 and id(p) not in ids]
    plain = [p for _, p in named if p.ndim < 2]
    groups = [
        {"params": params, "weight_decay": decay, "lr": choice.learning_rate * factor}
        for params, decay, factor in (
            (decayed, choice.weight_decay, 1.0),
            (plain, 0.0, 1.0),
            (distances, 0.0, _DISTANCES_RATE),
        )
        if params
    ]
    # One pass over the weights instead of a dozen: a sixth faster on CPUs too.
    return torch.optim.AdamW(
        groups, lr=choice.learning_rate, betas=(choice.beta1, choice.beta2), eps=1e-8, fused=True
    )


class Both(torch.optim.Optimizer):
    """Two optimisers that step together and look like one with all their groups."""

    def __init__(self, first: torch.optim.Optimizer, second: torch.optim.Optimizer) -> None:
        self.parts = (first, second)
        super().__init__([{"params": list(_params(part))} for part in self.parts], {})
        self._join()

    def _join(self) -> None:
        # The very dictionaries of the parts: a scheduler that sets a group's rate sets the part's.
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts], "state": {}, "param_groups": []}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._join()


def _params(part: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in part.param_groups for p in group["params"]]
