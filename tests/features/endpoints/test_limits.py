"""Calls a minute, counted by several web processes together."""

from __future__ import annotations

from pathlib import Path

from llmos.features.endpoints.limits import Counts

START_S = 60_000_000.0


def test_processes_count_together(tmp_path: Path) -> None:
    one, other = Counts(tmp_path / "run" / "calls"), Counts(tmp_path / "run" / "calls")
    answers = [(one, other)[number % 2].take(b"ada", 4, START_S + number) for number in range(6)]
    assert answers[:4] == [0, 0, 0, 0]
    assert answers[4] > 0
    assert answers[5] > 0
    assert one.take(b"grace", 4, START_S + 6) == 0


def test_no_minute_has_more_calls_than_allowed_and_the_wait_that_is_named_is_enough(tmp_path: Path) -> None:
    counts = Counts(tmp_path / "calls")
    taken: list[float] = []
    for tenth in range(3000):
        now_s = START_S + tenth / 10
        wait_s = counts.take(b"ada", 5, now_s)
        if not wait_s:
            taken.append(now_s)
    assert all(sum(first <= t < first + 55 for t in taken) <= 6 for first in taken)
    assert 18 <= len(taken) <= 26
    for allowed in (1, 3):
        name = b"%d" % allowed
        while not (wait_s := counts.take(name, allowed, START_S + 50)):
            pass
        assert counts.take(name, allowed, START_S + 50 + wait_s) == 0


def test_very_many_callers_do_not_grow_the_table(tmp_path: Path) -> None:
    counts = Counts(tmp_path / "calls")
    for number in range(50_000):
        assert counts.take(b"%d" % number, 1, START_S) == 0
    assert (tmp_path / "calls").stat().st_size < 1 << 20
