"""Languages: gettext catalogues kept as `.po` text, compiled in memory on first use.

Words: a *locale* is one of `LOCALES` ("en", "zh"); a *message* is English text as written in the
code; a *lazy* message is kept untranslated until a face knows the reader's locale.
"""

from llmos.infra.i18n.catalogs import DEFAULT_LOCALE, LOCALES, Locale, Translator, translator
from llmos.infra.i18n.lazy import LazyString, lazy, localize
from llmos.infra.i18n.negotiate import negotiate_locale

__all__ = [
    "DEFAULT_LOCALE",
    "LOCALES",
    "LazyString",
    "Locale",
    "Translator",
    "lazy",
    "localize",
    "negotiate_locale",
    "translator",
]
