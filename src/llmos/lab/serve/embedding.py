"""Texts as vectors: mean of the last layer, or as a sentence-transformers folder says."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llmos.lab.serve.errors import CallError, CannotServe, not_a_number
from llmos.lab.serve.loading import Loaded

_AT_ONCE = 16
_WAYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}
_MODULES = ("Transformer", "Pooling", "Normalize")
Vectors = Generator[None, None, tuple[list[list[float]], int]]


class Embedder:
    """Knows how the vectors of one model are made. Raises CannotServe for a folder with other modules."""

    def __init__(self, loaded: Loaded, folder: Path) -> None:
        self.loaded = loaded
        self.ways = _pooling(folder)
        model = loaded.model
        self._body = model.get_encoder() if loaded.is_writer else model.base_model
        self.size = int(getattr(model.config.get_text_config(), "hidden_size", 0)) * len(self.ways)

    def embed(
        self,
        inputs: Sequence[str | list[int]],
        *,
        normalize: bool = True,
        dimensions: int | None = None,
        truncate: bool = False,
    ) -> Vectors:
        """A vector each, and how many tokens were read. Gives way after each batch. Raises CallError."""
        if dimensions is not None and dimensions > self.size:
            raise CallError(
                f"dimensions is {dimensions}, and this model's vectors have {self.size}.", param="dimensions"
            )
        rows = [self._ids(number, text, truncate) for number, text in enumerate(inputs)]
        order = sorted(range(len(rows)), key=lambda number: -len(rows[number]))
        found: list[list[float]] = [[]] * len(rows)
        for start in range(0, len(order), _AT_ONCE):
            part = order[start : start + _AT_ONCE]
            vectors = self._forward([rows[number] for number in part])
            if dimensions is not None:
                vectors = vectors[:, :dimensions]
            if normalize:
                vectors = torch.nn.functional.normalize(vectors, dim=-1)
            for number, vector in zip(part, vectors.tolist(), strict=True):
                found[number] = vector
            yield
        return found, sum(map(len, rows))

    def tokens(self, text: str, *, truncate: bool = False) -> list[list[float]]:
        """A vector a token, as the last layer has them."""
        return [list(vector) for vector in self._hidden([self._ids(0, text, truncate)])[0][0].tolist()]

    def _ids(self, number: int, text: str | list[int], truncate: bool) -> list[int]:
        loaded = self.loaded
        if isinstance(text, str):
            ids = loaded.prompts.encode(text)
        else:
            ids = loaded.checked_ids(f"inputs[{number}]", list(text))
        if len(ids) > loaded.context_tokens:
            if not truncate:
                raise CallError(
                    f"inputs[{number}] has {len(ids)} tokens and this model reads {loaded.context_tokens} at "
                    "once. Shorten it, or set truncate.",
                    code="context_length_exceeded",
                    param=f"inputs[{number}]",
                    data={"prompt_tokens": len(ids), "context_tokens": loaded.context_tokens},
                )
            ids = ids[: loaded.context_tokens]
        return ids or [loaded.begin]

    @torch.inference_mode()
    def _hidden(self, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
        width = max(map(len, rows))
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros(len(rows), width, dtype=torch.long)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            mask[number, : len(row)] = 1
        device = self.loaded.model.device
        mask = mask.to(device)
        hidden: Tensor = self._body(input_ids=ids.to(device), attention_mask=mask).last_hidden_state
        return hidden.float(), mask

    @torch.inference_mode()
    def _forward(self, rows: list[list[int]]) -> Tensor:
        hidden, mask = self._hidden(rows)
        seen = mask[:, :, None].to(hidden.dtype)
        made = []
        for way in self.ways:
            if way == "cls":
                made.append(hidden[:, 0])
            elif way == "last":
                made.append(hidden[torch.arange(len(rows)), mask.sum(dim=1) - 1])
            elif way == "max":
                made.append(hidden.masked_fill(seen == 0, -torch.inf).max(dim=1).values)
            else:
                made.append((hidden * seen).sum(dim=1) / seen.sum(dim=1))
        vectors = torch.cat(made, dim=-1)
        if not bool(torch.isfinite(vectors).all()):
            raise not_a_number()
        return vectors


def _pooling(folder: Path) -> list[str]:
    listed = folder / "modules.json"
    if not listed.is_file():
        return ["mean"]
    modules = json.loads(listed.read_text(encoding="utf-8"))
    for module in modules:
        kind = str(module.get("type", "")).rsplit(".", 1)[-1]
        if kind not in _MODULES:
            raise CannotServe(
                f"modules.json asks for a module {kind}; vectors are made by {', '.join(_MODULES)} only.",
                code="not_servable",
            )
    places = [m["path"] for m in modules if str(m["type"]).endswith("Pooling")]
    config: dict[str, Any] = {}
    if places and (folder / places[0] / "config.json").is_file():
        config = json.loads((folder / places[0] / "config.json").read_text(encoding="utf-8"))
    return [way for key, way in _WAYS.items() if config.get(key)] or ["mean"]
