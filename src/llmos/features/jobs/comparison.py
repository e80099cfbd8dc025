"""What differs between runs: fields of their recipes, lines of the recipes as YAML, final figures. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

import yaml

from llmos.ui.views import DiffFile, DiffHunk, DiffLine

MAX_FIELDS = 500
_LOWER_IS_BETTER = ("loss", "perplexity", "bits_per", "entropy", "error")
_HIGHER_IS_BETTER = (
    "accuracy",
    "f1",
    "exact_match",
    "bleu",
    "rouge",
    "chrf",
    "precision",
    "recall",
    "margin",
)


def flatten(value: Any, path: str = "") -> dict[str, str]:
    """The fields of a recipe by their paths, as a form names them: `data.sources.0.dataset`."""
    if not path and not value:
        return {}
    if isinstance(value, dict) and value:
        parts = [(str(key), inner) for key, inner in value.items()]
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        parts = [(str(number), inner) for number, inner in enumerate(value)]
    else:
        return {path: _said(value)}
    found: dict[str, str] = {}
    for name, inner in parts:
        found |= flatten(inner, f"{path}.{name}" if path else name)
    return dict(list(found.items())[:MAX_FIELDS])


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return "{}" if value == {} else str(value)


def differences(recipes: Sequence[Mapping[str, str]]) -> list[tuple[str, list[str | None]]]:
    """Flat fields whose values are not the same everywhere, with the value of each; None: not given."""
    paths = dict.fromkeys(path for recipe in recipes for path in recipe)
    rows = [(path, [recipe.get(path) for recipe in recipes]) for path in paths]
    return [(path, values) for path, values in rows if len(set(values)) > 1]


def dump(recipe: Mapping[str, Any]) -> str:
    """A recipe as YAML, its fields in the order they were given."""
    text: str = yaml.safe_dump(dict(recipe), allow_unicode=True, sort_keys=False)
    return text


def _ordered(value: Any, like: Any) -> Any:
    """The same with keys in the order of `like`, so that only what differs shows in a difference."""
    if isinstance(value, dict):
        like = like if isinstance(like, dict) else {}
        keys = [key for key in like if key in value] + [key for key in value if key not in like]
        return {key: _ordered(value[key], like.get(key)) for key in keys}
    if isinstance(value, list):
        first = like[0] if isinstance(like, list) and like else None
        return [_ordered(item, first) for item in value]
    return value


def yaml_diff(old: Mapping[str, Any], new: Mapping[str, Any], old_name: str, new_name: str) -> DiffFile:
    """What changes from one recipe to another, line by line."""
    before, after = dump(old).splitlines(), dump(_ordered(new, old)).splitlines()
    hunks, added, removed = [], 0, 0
    for group in SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(3):
        lines = [line for code in group for line in _lines(code, before, after)]
        added += sum(line.kind == "added" for line in lines)
        removed += sum(line.kind == "removed" for line in lines)
        header = f"@@ -{group[0][1] + 1} +{group[0][3] + 1} @@"
        hunks.append(DiffHunk(header, lines))
    return DiffFile(new_name, "modified", added, removed, hunks, old_path=old_name)


def _lines(
    code: tuple[str, int, int, int, int], before: Sequence[str], after: Sequence[str]
) -> list[DiffLine]:
    tag, old_start, old_end, new_start, new_end = code
    if tag == "equal":
        pairs = zip(range(old_start, old_end), range(new_start, new_end), strict=True)
        return [DiffLine("same", old + 1, new + 1, before[old]) for old, new in pairs]
    gone = [DiffLine("removed", at + 1, None, before[at]) for at in range(old_start, old_end)]
    return gone + [DiffLine("added", None, at + 1, after[at]) for at in range(new_start, new_end)]


@dataclass(frozen=True)
class FigureRow:
    """A figure of every run; `best` are the places of the best ones where better is known."""

    name: str
    values: Sequence[float | None]
    best: frozenset[int] = frozenset()


def direction(name: str) -> Literal["lower", "higher", ""]:
    """Which values of a figure are better, by its name; empty where nobody can say."""
    last = name.rpartition("/")[2]
    if any(word in last for word in _LOWER_IS_BETTER):
        return "lower"
    return "higher" if any(word in last for word in _HIGHER_IS_BETTER) else ""


def figure_row(name: str, values: Sequence[float | None]) -> FigureRow:
    known = [value for value in values if value is not None]
    better = direction(name)
    if len(known) < 2 or not better or len(set(known)) < 2:
        return FigureRow(name, values)
    best = min(known) if better == "lower" else max(known)
    return FigureRow(name, values, frozenset(at for at, value in enumerate(values) if value == best))
