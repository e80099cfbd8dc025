"""Messages written where the reader's language is not known (errors, enumerations)."""

from __future__ import annotations

from typing import Any

from llmos.infra.i18n.catalogs import Locale, translator


class LazyString(str):
    """English text that remembers its message, so that a face can say it in another language.

    It is an ordinary `str` for everything that does not care (logs, JSON, exceptions).
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

    def localize(self, locale: Locale) -> str:
        translated = translator(locale).gettext(self.message)
        return translated % self.params if self.params else translated


def lazy(message: str, **params: Any) -> LazyString:
    """`lazy("The name %(name)s is taken.", name=name)`: found by the extraction like `_()`."""
    return LazyString(message, params)


def localize(text: str, locale: Locale) -> str:
    """`text` in `locale`: a lazy message by its catalogue, plain text if the catalogue knows it."""
    if isinstance(text, LazyString):
        return text.localize(locale)
    return translator(locale).gettext(text) if text else text
