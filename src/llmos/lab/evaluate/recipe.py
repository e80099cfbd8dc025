"""Recipes that evaluate: told from those that train, and read."""

from __future__ import annotations

from pathlib import Path

import yaml

from llmos.lab.evaluate.tasks.schema import TaskError
from llmos.records.bundle import parse_recipe
from llmos.records.errors import RecordError
from llmos.wire.evaluation_recipe import EvaluationRecipe, is_evaluation

_MAX_BYTES = 1_000_000


def does_evaluate(path: Path) -> bool:
    """Whether the recipe in a file is one that evaluates."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        # Whoever reads it next says what is wrong with it.
        return False
    return isinstance(value, dict) and is_evaluation(value)


def read_recipe(path: Path) -> EvaluationRecipe:
    """Raises TaskError with the first field that is wrong."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TaskError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    if len(raw) > _MAX_BYTES:
        raise TaskError(f"The recipe {path} has more than {_MAX_BYTES:,} bytes.")
    try:
        return parse_recipe(raw, name=path.name)
    except RecordError as error:
        raise TaskError(error.message, data=error.data) from error
