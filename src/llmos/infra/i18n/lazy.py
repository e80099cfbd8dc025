"""Saying a message in the reader's language."""

from __future__ import annotations

from llmos.core.text import LazyString, lazy
from llmos.infra.i18n.catalogs import Locale, translator

__all__ = ["LazyString", "lazy", "localize"]


def localize(text: str, locale: Locale) -> str:
    """`text` in `locale`: a lazy message by its catalogue, plain text if the catalogue knows it."""
    if not isinstance(text, LazyString):
        return translator(locale).gettext(text) if text else text
    translated = translator(locale).gettext(text.message)
    if not text.params:
        return translated
    return translated % {key: _part(value, locale) for key, value in text.params.items()}


def _part(value: object, locale: Locale) -> object:
    return localize(value, locale) if isinstance(value, LazyString) else value
