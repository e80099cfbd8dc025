"""Messages written where the reader's language is not known (refusals, enumerations)."""

from __future__ import annotations

from typing import Any


class LazyString(str):
    """English text that remembers its message, so that a face can say it in another language.

    It is an ordinary `str` for everything that does not care (logs, JSON, Hub clients).
    """

    message: str
    params: dict[str, Any]

    def __new__(cls, message: str, params: dict[str, Any]) -> LazyString:
        text = super().__new__(cls, message % params if params else message)
        text.message = message
        text.params = params
        return text

    def __reduce__(self) -> tuple[type[LazyString], tuple[str, dict[str, Any]]]:
        return (LazyString, (self.message, self.params))


def lazy(message: str, **params: Any) -> LazyString:
    """`lazy("The name %(name)s is taken.", name=name)`: found by the extraction like `_()`.

    A parameter may be lazy itself; it is then said in the reader's language, too.
    """
    return LazyString(message, params)
