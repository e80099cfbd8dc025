"""Forwards through a causal model: rows of tokens as they are, and rows that share what comes before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from llmos.lab.evaluate.engines.base import NEAR, NotANumber

# Attention of these takes any mask and any positions; tests/lab/evaluate compares each with plain rows.
SHARING = frozenset(
    {"llama", "gpt2", "qwen2", "qwen3", "mistral", "smollm3", "gemma", "olmo2", "phi", "phi3", "gpt_neox",
     "stablelm", "granite", "cohere", "starcoder2", "helium", "ernie4_5", "glm"}
)  # fmt: skip
# Numbers in the logits of one forward (a quarter of a GiB in single precision).
LOGITS = 1 << 26
# Tokens in one forward: more save nothing on processors, and cost memory.
TOKENS = 1 << 14


@dataclass(frozen=True)
class Cell:
    """Where a token is predicted: row and column of the logits, and the token."""

    row: int
    column: int
    token: int


@dataclass(frozen=True)
class Read:
    """What the logits say of one token."""

    logprob: float
    is_greedy: bool
    near: bool


def read(logits: Tensor, cells: Sequence[Cell]) -> list[Read]:
    """Log-probabilities of the cells' tokens. Raises NotANumber where a logit is none."""
    spots: dict[tuple[int, int], int] = {}
    for cell in cells:
        spots.setdefault((cell.row, cell.column), len(spots))
    where = torch.tensor(list(spots), device=logits.device)
    picked = logits[where[:, 0], where[:, 1]]
    picked = picked if picked.dtype == torch.float64 else picked.float()
    norm = torch.logsumexp(picked, dim=-1)
    if not bool(torch.isfinite(norm).all()):
        raise NotANumber(
            "The model's logits are not numbers (NaN or infinite). Its weights are damaged, or its numbers "
            "overflow in this precision: try float32."
        )
    index = torch.tensor([spots[cell.row, cell.column] for cell in cells], device=logits.device)
    tokens = torch.tensor([cell.token for cell in cells], device=logits.device)
    own, top = picked[index, tokens], picked.max(dim=-1)
    logprobs = (own.double() - norm[index].double()).tolist()
    # Of equal logits the first token is the greedy one.
    greedy = (top.indices[index] == tokens).tolist()
    close = (own >= top.values[index] - NEAR).tolist()
    found = []
    for number, cell in enumerate(cells):
        near = False
        if close[number]:
            spot = spots[cell.row, cell.column]
            near = int((picked[spot] >= top.values[spot] - NEAR).sum()) > 1
        found.append(Read(logprobs[number], greedy[number], near))
    return found


def can_share(model: Any) -> bool:
    """Whether attention can be told which tokens see which, and its cache holds all of them."""
    config = model.config
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    if config.model_type not in SHARING or rope.get("rope_type") in ("dynamic", "longrope"):
        return False
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)


def lengths_matter(model: Any) -> bool:
    """Whether a row's result depends on how long the rows beside it are."""
    rope = getattr(model.config, "rope_parameters", None) or {}
    kinds = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    return any(kind.get("rope_type") in ("dynamic", "longrope") for kind in kinds)


@torch.inference_mode()
def plain(model: Any, rows: Sequence[Sequence[int]], first: int = 0) -> Tensor:
    """Logits of rows, padded at their ends, from column `first` on.

    No mask: under causal attention nothing looks at what comes after it.
    """
    width = max(map(len, rows))
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row, dtype=torch.long)
    found: Tensor = model(
        input_ids=ids.to(model.device), use_cache=False, logits_to_keep=width - first
    ).logits
    return found[:, -(width - first) :]


class Prefix:
    """Keys and values of tokens that many rows begin with, computed once."""

    @torch.inference_mode()
    def __init__(self, model: Any, ids: Sequence[int]) -> None:
        self.ids = tuple(ids)
        self._config = model.config
        self._layers: list[tuple[Tensor, Tensor]] = []
        if ids:
            cache: Any = DynamicCache(config=model.config)
            row = torch.tensor([ids], dtype=torch.long, device=model.device)
            model(input_ids=row, past_key_values=cache, use_cache=True, logits_to_keep=1)
            self._layers = [(layer.keys, layer.values) for layer in cache.layers]

    def __len__(self) -> int:
        return len(self.ids)

    def cache(self, rows: int) -> Any:
        """A cache for as many rows, which starts with the prefix."""
        cache: Any = DynamicCache(config=self._config)
        for layer, (keys, values) in zip(cache.layers, self._layers, strict=bool(self._layers)):
            layer.lazy_initialization(keys, values)
            layer.keys = keys.expand(rows, -1, -1, -1)
            layer.values = values.expand(rows, -1, -1, -1)
        return cache


@dataclass(frozen=True)
class Tree:
    """A row: what follows the prefix, then branches that see it and not each other."""

    stem: Sequence[int]
    branches: Sequence[Sequence[int]]

    @property
    def width(self) -> int:
        return len(self.stem) + sum(len(branch) - 1 for branch in self.branches)

    @property
    def tail(self) -> int:
        return self.width - len(self.stem) + 1


@dataclass(frozen=True)
class Layout:
    """Rows side by side. Stems end in the same column, so that few columns of logits are needed."""

    ids: np.ndarray[Any, Any]
    positions: np.ndarray[Any, Any]
    groups: np.ndarray[Any, Any]
    keep: int
    cells: list[list[list[Cell]]]


def lay_out(trees: Sequence[Tree], start: int) -> Layout:
    """Tokens, positions (from `start` on) and groups: -1 filling, 0 stem, 1, 2, … branches."""
    stem, tail = max(len(tree.stem) for tree in trees), max(tree.tail for tree in trees)
    shape = (len(trees), stem - 1 + tail)
    ids, positions = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    groups, cells = np.full(shape, -1, dtype=np.int64), []
    for row, tree in enumerate(trees):
        begin, length = stem - len(tree.stem), len(tree.stem)
        ids[row, begin:stem] = tree.stem
        positions[row, begin:stem] = start + np.arange(length)
        groups[row, begin:stem] = 0
        at, of_row = stem, []
        for number, branch in enumerate(tree.branches, 1):
            end = at + len(branch) - 1
            ids[row, at:end] = branch[:-1]
            positions[row, at:end] = start + length + np.arange(end - at)
            groups[row, at:end] = number
            # The first token is predicted by the end of the stem, the others by the one before them.
            columns = [0, *range(at - stem + 1, end - stem + 1)]
            of_row.append([Cell(row, c, token) for c, token in zip(columns, branch, strict=True)])
            at = end
        cells.append(of_row)
    return Layout(ids, positions, groups, tail, cells)


def tree_mask(groups: np.ndarray[Any, Any], prefix: int, dtype: torch.dtype) -> Tensor:
    """What may look at what, as numbers added to the scores of attention: [rows, 1, width, prefix + width].

    Filling looks at itself, so that no row of scores is empty, and nothing looks at filling.
    """
    width = groups.shape[1]
    queries, keys = groups[:, :, None], groups[:, None, :]
    seen = ((keys == 0) | (keys == queries)) & (keys >= 0) & (queries >= 0)
    seen &= np.tril(np.ones((width, width), dtype=bool))
    seen |= np.eye(width, dtype=bool)
    whole = np.concatenate([np.ones((*groups.shape, prefix), dtype=bool), seen], axis=2)
    mask = torch.zeros(whole.shape, dtype=dtype)
    mask.masked_fill_(torch.from_numpy(~whole), torch.finfo(dtype).min)
    return mask[:, None]


@torch.inference_mode()
def grow(model: Any, prefix: Prefix, trees: Sequence[Tree]) -> list[list[list[Read]]]:
    """One forward for the trees: of each, of each branch, of each token."""
    layout = lay_out(trees, len(prefix))
    device = model.device
    logits = model(
        input_ids=torch.from_numpy(layout.ids).to(device),
        position_ids=torch.from_numpy(layout.positions).to(device),
        attention_mask=tree_mask(layout.groups, len(prefix), model.dtype).to(device),
        past_key_values=prefix.cache(len(trees)),
        use_cache=True,
        logits_to_keep=layout.keep,
    ).logits
    flat = [cell for of_row in layout.cells for branch in of_row for cell in branch]
    reads = iter(read(logits[:, -layout.keep :], flat))
    return [[[next(reads) for _ in branch] for branch in of_row] for of_row in layout.cells]
