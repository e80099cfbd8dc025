"""Template filters: sizes, numbers, times and URL parts in the reader's language."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from datetime import date as Day
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import format_compact_decimal, format_decimal
from markupsafe import Markup, escape

from llmos.core.clock import now
from llmos.infra.i18n import Locale

BABEL_LOCALES: dict[Locale, str] = {"en": "en_GB", "zh": "zh_Hans_CN"}
LANGUAGE_TAGS: dict[Locale, str] = {"en": "en", "zh": "zh-Hans"}
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_BETWEEN_SCRIPTS = re.compile(r"(?<=[0-9A-Za-z.])(?=[\u4e00-\u9fff])|(?<=[\u4e00-\u9fff])(?=[0-9A-Za-z])")


def filesize(size_bytes: int) -> str:
    """`1.2 GB`: decimal units, as clients and file lists of the Hub print them."""
    size = float(size_bytes)
    for unit in _UNITS:
        if size < 999.5 or unit == _UNITS[-1]:
            break
        size /= 1000
    digits = f"{size:.0f}" if unit == "B" or size >= 99.95 else f"{size:.2f}".rstrip("0").rstrip(".")
    return f"{digits} {unit}"


def figure(value: float) -> str:
    """A measured value with four digits that count: `2.345`, `0.0003`, `12,346`, `1e-06`."""
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e12 else f"{value:.3e}"
    return f"{value:.4g}"


def path_segment(value: str) -> str:
    """One segment of a URL path: everything quoted, also the slash."""
    return quote(value, safe="")


def path_segments(value: str) -> str:
    """A whole path: quoted, slashes kept."""
    return quote(value, safe="/")


def with_query(path: str, params: Mapping[str, Any]) -> str:
    """`path?…` with the parameters that are not None or empty."""
    kept = {key: value for key, value in params.items() if value not in (None, "", [], ())}
    return f"{path}?{urlencode(kept, doseq=True)}" if kept else path


def avatar_tone(name: str) -> int:
    """0-7, always the same for a name: which tone a generated avatar has."""
    return sum((position + 1) * ord(char) for position, char in enumerate(name.lower())) % 8


class LocaleFilters:
    """The filters that depend on the language."""

    def __init__(self, locale: Locale) -> None:
        self.locale = locale
        self.babel_locale = BABEL_LOCALES[locale]

    def number(self, value: float) -> str:
        """`1.2k`, `3.4M` (`1.2万` in Chinese); exact below a thousand."""
        return _number(value, self.locale)

    def exact(self, value: float) -> str:
        """`12,345,678`."""
        return _exact(value, self.locale)

    def date(self, at: datetime) -> str:
        """`21 Nov 2026`, `2026年11月21日`."""
        return format_date(at.astimezone(UTC), "medium", locale=self.babel_locale)

    def day(self, day: Day) -> str:
        """`21 Nov`, `11月21日`: for axes, where the year is plain."""
        pattern = "MMM d日" if self.locale == "zh" else "d MMM"
        return format_date(day, pattern, locale=self.babel_locale)

    def relative(self, at: datetime) -> str:
        """`3 days ago`, `3 天前`: the words of CLDR, as browsers have them."""
        # Never none: "in 0 seconds" would speak of what has just happened as to come.
        seconds = int((at - now()).total_seconds()) or -1
        # Whole minutes beyond an hour: lists of many times then share their words.
        return _relative(seconds if abs(seconds) < 3600 else int(seconds / 60) * 60, self.locale)

    def ago(self, at: datetime | None) -> Markup:
        """`relative` inside `<time>` with the full date as title; empty for None."""
        if at is None:
            return Markup("")
        at = at.astimezone(UTC)
        # Nothing here needs escaping: digits, and words of CLDR.
        return Markup(f"{_time_start(at.replace(microsecond=0), self.locale)}{self.relative(at)}</time>")

    def as_dict(self) -> dict[str, Callable[..., Any]]:
        return {
            "ago": self.ago,
            "date": self.date,
            "day": self.day,
            "exact": self.exact,
            "number": self.number,
            "figure": figure,
            "relative": self.relative,
            "filesize": filesize,
            "path_segment": path_segment,
            "path_segments": path_segments,
            "with_query": with_query,
            "avatar_tone": avatar_tone,
        }


# Babel looks its patterns up anew at every call; a page shows a hundred times and counts.
@lru_cache(maxsize=4096)
def _number(value: float, locale: Locale) -> str:
    if abs(value) < 1000:
        return format_decimal(value, locale=BABEL_LOCALES[locale])
    short = format_compact_decimal(value, locale=BABEL_LOCALES[locale], fraction_digits=1)
    return short.replace("K", "k") if locale == "en" else short


@lru_cache(maxsize=4096)
def _exact(value: float, locale: Locale) -> str:
    return format_decimal(value, locale=BABEL_LOCALES[locale])


@lru_cache(maxsize=4096)
def _relative(seconds: int, locale: Locale) -> str:
    words = format_timedelta(
        timedelta(seconds=seconds),
        granularity="second",
        threshold=1,
        add_direction=True,
        locale=BABEL_LOCALES[locale],
    )
    return _BETWEEN_SCRIPTS.sub(" ", words)


@lru_cache(maxsize=4096)
def _time_start(at: datetime, locale: Locale) -> str:
    title = format_datetime(at, "medium", locale=BABEL_LOCALES[locale])
    return f'<time datetime="{at:%Y-%m-%dT%H:%M:%SZ}" title="{title} UTC" data-relative>'


def icon_markup(url: str, name: str, size: int, label: str) -> Markup:
    """An icon of the sprite at `url`; with `label` it speaks, without it is decoration."""
    if not label:
        return _plain_icon(url, name, size)
    access = Markup('role="img" aria-label="{}"').format(label)
    return _icon(url, name, size, access)


@lru_cache(maxsize=1024)
def _plain_icon(url: str, name: str, size: int) -> Markup:
    return _icon(url, name, size, Markup('aria-hidden="true"'))


def _icon(url: str, name: str, size: int, access: Markup) -> Markup:
    return Markup(
        '<svg class="icon" width="{0}" height="{0}" {1} focusable="false"><use href="{2}#{3}"></use></svg>'
    ).format(size, access, escape(url), name)
