"""What is wrong with somebody's data, said so that they can mend it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from llmos.core.errors import Unprocessable


class DataError(Unprocessable):
    """The data cannot be used as asked; the message names the file or field and the fix."""

    code = "BadData"


def no_column(column: str, found: Iterable[str], where: str) -> DataError:
    """The error for a column that is not there; names those that are, the nearest first."""
    names = [str(name) for name in found]
    near = get_close_matches(column, names, n=1, cutoff=0.5)
    hint = f' Did you mean "{near[0]}"?' if near else ""
    listed = ", ".join(names) or "none"
    return DataError(
        f'{where} has no column "{column}"; its columns are: {listed}.{hint}',
        data={"column": column, "columns": names},
    )
