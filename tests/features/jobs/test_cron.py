"""Schedules: against a slow oracle that looks at every minute, and against what people write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.errors import BadRequest
from llmos.features.jobs.cron import parse_cron

START = datetime(2026, 11, 22, 6, 30, 12, tzinfo=UTC)  # a Sunday


def _next(text: str, after: datetime = START) -> str:
    return parse_cron(text).next_after(after).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@hourly", "2026-11-22 07:00"),
        ("@daily", "2026-11-23 00:00"),
        ("@midnight", "2026-11-23 00:00"),
        ("@weekly", "2026-11-29 00:00"),
        ("@monthly", "2026-12-01 00:00"),
        ("@yearly", "2027-01-01 00:00"),
        ("@ANNUALLY", "2027-01-01 00:00"),
        ("* * * * *", "2026-11-22 06:31"),
        ("*/15 * * * *", "2026-11-22 06:45"),
        ("0 9 * * 1", "2026-11-23 09:00"),
        ("0 9 * * MON-FRI", "2026-11-23 09:00"),
        ("5,35 6 * * *", "2026-11-22 06:35"),
        ("10-30/10 6 * * 7", "2026-11-29 06:10"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 31 * *", "2026-12-31 00:00"),
        ("0 12 1 JAN,jul *", "2027-01-01 12:00"),
        ("0 0 13 * FRI", "2026-11-27 00:00"),  # day or weekday, as cron has it
        ("30 6 * * *", "2026-11-23 06:30"),  # never the minute we are in
        ("5/20 * * * *", "2026-11-22 06:45"),
    ],
)
def test_next_time(text: str, expected: str) -> None:
    assert _next(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "@often", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *"),
        *("* * * * 8", "a * * * *", "*/0 * * * *", "5-1 * * * *", "1,,2 * * * *", "-1 * * * *"),
        *("٣ * * * *", "0 0 * * MOON", "99999 * * * *", "* * * * *\x00"),
    ],
)
def test_what_is_refused_names_the_field(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_cron(text)
    assert caught.value.data["field"] == "schedule"


def test_a_date_that_never_comes() -> None:
    with pytest.raises(BadRequest):
        parse_cron("0 0 31 2 *").next_after(START)


_minute = st.sampled_from(["*", "*/7", "0", "59", "3,9", "10-20", "10-40/13"])
_hour = st.sampled_from(["*", "*/5", "0", "23", "8-17"])
_day = st.sampled_from(["*", "1", "15,30"])
_month = st.sampled_from(["*", "1-6", "NOV,DEC"])
_weekday = st.sampled_from(["*", "0", "1-5", "7"])


@given(_minute, _hour, _day, _month, _weekday, st.integers(0, 60 * 24 * 40))
def test_as_a_slow_oracle_has_it(
    minute: str, hour: str, day: str, month: str, weekday: str, offset: int
) -> None:
    cron = parse_cron(f"{minute} {hour} {day} {month} {weekday}")
    after = START + timedelta(minutes=offset)
    found = cron.next_after(after)
    assert found > after
    assert found.minute in cron.minutes
    assert found.hour in cron.hours
    assert cron.matches_day(found)
    moment = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for _ in range(min(int((found - moment).total_seconds() // 60), 3000)):
        due = moment.minute in cron.minutes and moment.hour in cron.hours and cron.matches_day(moment)
        assert not due, moment
        moment += timedelta(minutes=1)
