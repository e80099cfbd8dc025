"""Collecting what is wrong with a card: shared checks, in the Hub's wording."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

MAX_MESSAGES = 100
"""Messages of a kind that are kept; a hostile card could ask for millions."""

_REPO_PART = re.compile(r"[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?", re.ASCII)


def is_repo_id(value: Any) -> bool:
    """Whether `value` reads as `name` or `namespace/name`; existence is not asked."""
    if not isinstance(value, str) or not value or len(value) > 192:
        return False
    parts = value.split("/")
    return len(parts) <= 2 and all(
        len(part) <= 96
        and _REPO_PART.fullmatch(part) is not None
        and "--" not in part
        and ".." not in part
        and not part.endswith(".git")
        for part in parts
    )


def shorten(value: Any, limit: int = 100) -> str:
    """Text of a value fit for a message."""
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


@dataclass
class Findings:
    """Errors refuse a card, warnings only tell; both keep the order in which they were found."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def error(self, message: str) -> None:
        if len(self.errors) < MAX_MESSAGES:
            self.errors.append(message)

    def warn(self, message: str) -> None:
        if len(self.warnings) < MAX_MESSAGES:
            self.warnings.append(message)

    def text(self, path: str, value: Any) -> bool:
        """Error unless `value` is non-empty text."""
        if isinstance(value, str) and value:
            return True
        problem = "is not allowed to be empty" if value == "" else "must be a string"
        self.error(f'"{path}" {problem}')
        return False

    def required_text(self, path: str, mapping: dict[str, Any], key: str) -> None:
        if mapping.get(key) is None:
            self.error(f'"{path}.{key}" is required')
        else:
            self.text(f"{path}.{key}", mapping[key])

    def mapping(self, path: str, value: Any) -> dict[str, Any] | None:
        """The mapping itself, or None after an error."""
        if isinstance(value, dict):
            return value
        self.error(f'"{path}" must be a mapping of keys to values')
        return None

    def array(self, path: str, value: Any) -> list[Any]:
        """The list itself, or an empty one after an error."""
        if isinstance(value, list):
            return value
        self.error(f'"{path}" must be an array')
        return []

    def texts(self, path: str, value: Any, *, single: bool = True) -> list[tuple[str, str]]:
        """`(path, text)` of each text in a list, or of one text where `single` allows it."""
        if isinstance(value, str) and single:
            return [(path, value)] if self.text(path, value) else []
        items = [(f"{path}[{i}]", item) for i, item in enumerate(self.array(path, value))]
        return [(where, item) for where, item in items if self.text(where, item)]

    def one_of(self, path: str, value: Any, choices: Collection[str]) -> bool:
        """Error unless `value` is one of `choices`."""
        if isinstance(value, str) and value in choices:
            return True
        self.error(f'"{path}" must be one of [{", ".join(choices)}]')
        return False

    def repo_ids(self, path: str, value: Any, example: str, *, single: bool = True) -> None:
        """Error for each text that cannot be a repository id."""
        for where, item in self.texts(path, value, single=single):
            if not is_repo_id(item):
                self.error(
                    f'"{where}" with value "{shorten(item)}" is not valid. '
                    f"Use a repository id such as {example}."
                )
