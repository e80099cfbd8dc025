"""When a schedule is due: the five fields of cron, in UTC.

`minute hour day month weekday`, each `*`, a number, a name (JAN, MON), a range, a list, and a step
(`*/15`, `10-30/5`); also @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually.
Where both day and weekday are restricted, either suffices, as cron has it. Sunday is 0 and 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from llmos.core.errors import BadRequest
from llmos.infra.i18n import lazy

_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_DAYS = "SUN MON TUE WED THU FRI SAT".split()
_NAMES = {
    "month": {name: number for number, name in enumerate(_MONTHS, 1)},
    "weekday": {name: number for number, name in enumerate(_DAYS)},
}
_LIMITS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}
# The longest gap between two 29ths of February.
_MAX_DAYS = 8 * 366 + 1


@dataclass(frozen=True, slots=True)
class Cron:
    """The values each field allows."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_either_day: bool

    def matches_day(self, at: datetime) -> bool:
        if at.month not in self.months:
            return False
        by_day, by_weekday = at.day in self.days, at.isoweekday() % 7 in self.weekdays
        return (by_day or by_weekday) if self.is_either_day else (by_day and by_weekday)

    def next_after(self, at: datetime) -> datetime:
        """The first due minute later than `at`. BadRequest for a date that never comes."""
        at = at.astimezone(UTC)
        moment = at.replace(second=0, microsecond=0) + timedelta(minutes=1)
        for _ in range(_MAX_DAYS):
            if self.matches_day(moment):
                found = self._in_day(moment)
                if found is not None:
                    return found
            moment = moment.replace(hour=0, minute=0) + timedelta(days=1)
        raise _bad(lazy("no such date ever comes"))

    def _in_day(self, start: datetime) -> datetime | None:
        for hour in sorted(hour for hour in self.hours if hour >= start.hour):
            first = start.minute if hour == start.hour else 0
            minute = min((minute for minute in self.minutes if minute >= first), default=None)
            if minute is not None:
                return start.replace(hour=hour, minute=minute)
        return None


def parse_cron(text: str) -> Cron:
    """Raises BadRequest that names the field and what it may hold."""
    spelled = _MACROS.get(text.strip().lower(), text.strip())
    if spelled.startswith("@"):
        raise _bad(lazy("use one of %(names)s, or five fields", names=", ".join(_MACROS)))
    parts = spelled.split()
    if len(parts) != 5:
        raise _bad(lazy("it needs five fields: minute hour day month weekday"))
    fields = {name: _parse_field(name, part) for name, part in zip(_LIMITS, parts, strict=True)}
    return Cron(
        minutes=fields["minute"],
        hours=fields["hour"],
        days=fields["day"],
        months=fields["month"],
        weekdays=frozenset(day % 7 for day in fields["weekday"]),
        is_either_day=not parts[2].startswith("*") and not parts[4].startswith("*"),
    )


def _parse_field(name: str, text: str) -> frozenset[int]:
    values: set[int] = set()
    for part in text.upper().split(","):
        span, slash, step_text = part.partition("/")
        step = _number(name, step_text) if slash else 1
        if step < 1:
            raise _bad_field(name, text)
        low, high = _LIMITS[name]
        if span == "*":
            first, last = low, high if name != "weekday" else 6
        else:
            start, dash, end = span.partition("-")
            first = _value(name, start)
            last = _value(name, end) if dash else (high if slash else first)
        if not low <= first <= last <= high:
            raise _bad_field(name, text)
        values.update(range(first, last + 1, step))
    return frozenset(values)


def _value(name: str, text: str) -> int:
    named = _NAMES.get(name, {}).get(text)
    return named if named is not None else _number(name, text)


def _number(name: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 4:
        raise _bad_field(name, text)
    return int(text)


def _bad_field(name: str, text: str) -> BadRequest:
    low, high = _LIMITS[name]
    return _bad(
        lazy(
            "%(text)s is no %(field)s: it goes from %(low)s to %(high)s",
            text=repr(text[:40]),
            field=name,
            low=low,
            high=high,
        )
    )


def _bad(why: str) -> BadRequest:
    return BadRequest(lazy("The schedule is not understood: %(why)s.", why=why), data={"field": "schedule"})
