"""Examples: dicts whose keys are the roles of an objective (`text`, `label`, `messages`, …)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from llmos.lab.data.errors import DataError, no_column
from llmos.lab.recipes.schema import ROLES, Data, Source

Example = dict[str, Any]


def choose_columns(
    objective: str, row: dict[str, Any], data: Data, source: Source, where: str
) -> dict[str, str]:
    """Role: column, by the first set of roles of the objective that the row has columns for."""
    named = data.columns | source.columns
    sets = ROLES[objective]
    for role, column in named.items():
        if column not in row:
            raise no_column(column, row, f"{where} (data.columns.{role})")
    for roles in sets:
        columns = {role: named.get(role, role) for role in roles}
        if all(column in row for column in columns.values()):
            return columns
    if len(sets[-1]) == 1 and len(row) == 1:
        return {sets[-1][0]: next(iter(row))}
    missing = next(role for role in sets[-1] if named.get(role, role) not in row)
    error = no_column(named.get(missing, missing), row, where)
    wanted = " or ".join(" + ".join(roles) for roles in sets)
    raise DataError(
        f"{error.message} Objective {objective} needs {wanted}; "
        f"say in data.columns which column is which, as {missing}: <column>.",
        data=error.data,
    )


def example_of(row: dict[str, Any], columns: dict[str, str], where: str) -> Example:
    """The roles of a row; raises DataError when this row lacks one of the columns."""
    try:
        return {role: row[column] for role, column in columns.items()}
    except KeyError as missing:
        raise no_column(str(missing.args[0]), row, f"A row of {where}") from missing


def example_text(example: Example) -> str:
    """All text of an example, its roles and turns on lines of their own."""
    return "\n".join(_strings(list(example.values())))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _strings([part for key, part in value.items() if key != "role"])
    elif isinstance(value, list):
        yield from (part for item in value for part in _strings(item))


def draw(text: str) -> tuple[float, float]:
    """Two numbers from 0 to 1 that depend on the text alone."""
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
    return int.from_bytes(digest[:8], "big") / 2**64, int.from_bytes(digest[8:], "big") / 2**64


def cut_end(text: str, share: float) -> tuple[str, str]:
    """`text` without its last `share`, and that share; cut at the end of a line if there is one near."""
    at = int(len(text) * (1 - share))
    line = text.rfind("\n", max(1, at - 2000), at)
    at = line + 1 if line > 0 else at
    return text[:at].rstrip(), text[at:].lstrip()
