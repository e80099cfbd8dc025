"""Values of list cursors that a client may have forged."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from llmos.core.errors import BadRequest
from llmos.infra.i18n import lazy


def cursor_time(value: Any) -> datetime:
    """A time written by `isoformat`; BadRequest for anything else."""
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise _forged() from error
    if at.tzinfo is None:
        raise _forged()
    return at


def cursor_int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise _forged()
    return value


def cursor_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) >= 2**63:
        raise _forged()
    return value


def cursor_text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise _forged()
    return value


def _forged() -> BadRequest:
    return BadRequest(lazy("cursor is not one this server gave out: leave it out to start."))
