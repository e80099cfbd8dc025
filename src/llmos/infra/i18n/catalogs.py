"""Catalogues: where the `.po` files are and how they become translators."""

from __future__ import annotations

import gettext
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llmos.infra.kept import kept

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog

Locale = Literal["en", "zh"]
Translator = gettext.NullTranslations

LOCALES: tuple[Locale, ...] = ("en", "zh")
DEFAULT_LOCALE: Locale = "en"
DOMAIN = "llmos"
LOCALES_DIR = Path(__file__).parent / "locales"


def po_path(locale: Locale) -> Path:
    return LOCALES_DIR / locale / "LC_MESSAGES" / f"{DOMAIN}.po"


def read_catalog(locale: Locale) -> Catalog:
    """The catalogue as kept on disk; empty when there is no file yet."""
    from babel.messages.catalog import Catalog
    from babel.messages.pofile import read_po

    path = po_path(locale)
    if not path.exists():
        return Catalog(locale=locale, domain=DOMAIN)
    with path.open("rb") as file:
        return read_po(file, locale=locale, domain=DOMAIN)


@lru_cache(maxsize=len(LOCALES))
def translator(locale: Locale) -> Translator:
    """The translator of one locale, compiled once for each version of the catalogue.

    A message without a translation is answered as written in the code (English).
    """
    path = po_path(locale)
    source = path.read_bytes() if path.exists() else b""
    return gettext.GNUTranslations(BytesIO(kept(f"{locale}.mo", source, lambda: _compiled(locale))))


def _compiled(locale: Locale) -> bytes:
    from babel.messages.mofile import write_mo

    compiled = BytesIO()
    write_mo(compiled, read_catalog(locale))
    return compiled.getvalue()
