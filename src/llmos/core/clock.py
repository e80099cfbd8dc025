"""Time: always aware, always UTC, one way to print it."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)


def to_json(at: datetime) -> str:
    """`2026-11-21T08:00:00.000Z`: the Hub's form; its client refuses `+00:00`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def from_unix(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
