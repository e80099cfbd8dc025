"""Recipes written from a few answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmos.lab.recipes.load import parse_recipe
from llmos.lab.recipes.schema import Recipe

OBJECTIVES = {
    "clm": "write on: the next token of plain text",
    "mlm": "understand: hidden words of plain text (BERT and its kin)",
    "seq2seq": "restore damaged text (T5, BART)",
    "sft": "answer: dialogues, or prompts and completions",
    "dpo": "prefer: pairs of a better and a worse answer",
    "kto": "prefer: answers marked good or bad",
    "orpo": "prefer and answer in one go",
    "reward": "judge answers, from pairs",
    "classify": "sort texts by label",
    "tag": "label words",
    "qa": "find answers in a text",
    "summarize": "shorten texts",
    "translate": "translate",
}


def from_options(
    *,
    objective: str,
    data: tuple[str, ...],
    base: str | None = None,
    family: str | None = None,
    preset: str | None = None,
    max_minutes: float | None = None,
    max_steps: int | None = None,
    lora: bool = False,
    push: str | None = None,
    root: Path | None = None,
) -> Recipe:
    """A recipe with what was asked for and nothing else. Raises RecipeError as the loader does.

    `data` names files, patterns or `dataset:ada/poems[@revision]`; files are written relative to `root`
    made absolute, so that the recipe may lie elsewhere.
    """
    value: dict[str, Any] = {"objective": objective, "data": {"sources": _sources(objective, data, root)}}
    model = {"base": base, "family": family, "preset": preset}
    training = {"max_minutes": max_minutes, "max_steps": max_steps}
    value["model"] = {name: found for name, found in model.items() if found is not None}
    value["training"] = {name: found for name, found in training.items() if found is not None}
    if lora:
        value["lora"] = {"rank": 16}
    if push:
        value["push"] = {"repo": push}
    import yaml

    return parse_recipe(yaml.safe_dump({k: v for k, v in value.items() if v}, sort_keys=False), "options")


def _sources(objective: str, data: tuple[str, ...], root: Path | None) -> list[dict[str, Any]]:
    sources: list[dict[str, Any]] = []
    files = [name for name in data if not name.startswith("dataset:")]
    for name in data:
        if name.startswith("dataset:"):
            repo, _, revision = name.removeprefix("dataset:").partition("@")
            sources.append({"dataset": repo} | ({"revision": revision} if revision else {}))
    if files:
        sources.append({"files": [str(root / name) if root else name for name in files]})
    return sources
