"""Recipes written from a few answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos.lab.recipes.load import dump_recipe, parse_recipe
from llmos.lab.recipes.schema import Recipe
from llmos.lab.samples import PREFIX

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


@dataclass(frozen=True)
class Options:
    """What a recipe may be told in a few words; None: nothing is said of it."""

    base: str | None = None
    family: str | None = None
    preset: str | None = None
    max_minutes: float | None = None
    max_steps: int | None = None
    lora: bool = False
    push: str | None = None
    max_epochs: float | None = None

    def limits(self) -> dict[str, float | None]:
        """What may end a run."""
        names = ("max_minutes", "max_steps", "max_epochs")
        return {name: getattr(self, name) for name in names}


UNSAID = Options()


def from_options(
    *,
    objective: str,
    data: tuple[str, ...],
    options: Options,
    root: Path | None = None,
) -> Recipe:
    """A recipe with what was asked for and nothing else. Raises RecipeError as the loader does.

    `data` names files, patterns, `sample:english.txt` or `dataset:ada/poems[@revision]`; files are written
    relative to `root` made absolute, so that the recipe may lie elsewhere.
    """
    value: dict[str, Any] = {"objective": objective, "data": {"sources": sources_of(data, root)}}
    return _with(value, options)


def with_options(
    recipe: Recipe,
    *,
    folder: Path,
    data: tuple[str, ...] = (),
    options: Options = UNSAID,
    root: Path | None = None,
) -> Recipe:
    """`recipe`, which lies in `folder`, with these things said otherwise. Raises RecipeError.

    Limits take the place of all limits of the recipe. Its files are made absolute, so that what comes
    out may lie elsewhere.
    """
    import yaml

    value: dict[str, Any] = yaml.safe_load(dump_recipe(recipe))
    for source in [*value["data"]["sources"], *value["data"].get("validation", [])]:
        if source.get("files"):
            source["files"] = [_absolute(name, folder) for name in source["files"]]
    if data:
        value["data"]["sources"] = sources_of(data, root)
    if any(limit is not None for limit in options.limits().values()):
        for name in options.limits():
            value.get("training", {}).pop(name, None)
    return _with(value, options)


def _with(value: dict[str, Any], options: Options) -> Recipe:
    import yaml

    said: dict[str, dict[str, Any]] = {
        "model": {"base": options.base, "family": options.family, "preset": options.preset},
        "training": options.limits(),
        "lora": {"rank": 16} if options.lora and not value.get("lora") else {},
        "push": {"repo": options.push},
    }
    for section, fields in said.items():
        found = {name: field for name, field in fields.items() if field is not None}
        if found:
            value[section] = (value.get(section) or {}) | found
    return parse_recipe(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), "options")


def sources_of(data: tuple[str, ...], root: Path | None) -> list[dict[str, Any]]:
    """`data.sources` of a recipe, from the names that `from_options` takes."""
    sources: list[dict[str, Any]] = []
    files = [name for name in data if not name.startswith("dataset:")]
    for name in data:
        if name.startswith("dataset:"):
            repo, _, revision = name.removeprefix("dataset:").partition("@")
            sources.append({"dataset": repo} | ({"revision": revision} if revision else {}))
    if files:
        sources.append({"files": [_absolute(name, root) if root else name for name in files]})
    return sources


def _absolute(name: str, folder: Path) -> str:
    return name if name.startswith(PREFIX) else str(folder / Path(name).expanduser())
