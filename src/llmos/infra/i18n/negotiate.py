"""Which language a reader gets: their setting, then the cookie, then the browser's wish."""

from __future__ import annotations

from llmos.infra.i18n.catalogs import DEFAULT_LOCALE, LOCALES, Locale

_MAX_HEADER_CHARS = 1000


def match_locale(tag: str | None) -> Locale | None:
    """The locale of a language tag ("zh-Hant-TW" -> "zh"), or None if we do not speak it."""
    if not tag:
        return None
    language = tag.strip().replace("_", "-").split("-", 1)[0].lower()
    return next((locale for locale in LOCALES if locale == language), None)


def negotiate_locale(accept_language: str | None, cookie: str | None, user_pref: str | None) -> Locale:
    """One of LOCALES, whatever the client sent; broken headers count as no wish."""
    chosen = match_locale(user_pref) or match_locale(cookie)
    if chosen:
        return chosen
    wishes: list[tuple[float, int, Locale]] = []
    header = (accept_language or "")[:_MAX_HEADER_CHARS]
    for position, part in enumerate(header.split(",")):
        tag, _, parameter = part.partition(";")
        locale = match_locale(tag)
        quality = _quality(parameter)
        if locale and quality > 0:
            wishes.append((-quality, position, locale))
    return min(wishes)[2] if wishes else DEFAULT_LOCALE


def _quality(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        quality = float(value)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
