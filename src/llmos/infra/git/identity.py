"""People as git writes them into commits and tags."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

_DROPPED = {ord(char): None for char in "<>\0\n\r"}
_EDGES = " .,:;\"'\\"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who did something, and when (a time zone-aware time, kept to the second)."""

    name: str
    email: str
    at: datetime


def format_identity(identity: Identity) -> bytes:
    """`Name <email> seconds zone`, with the characters that git refuses left out."""
    name = identity.name.translate(_DROPPED).strip(_EDGES) or "unknown"
    email = identity.email.translate(_DROPPED).strip(_EDGES)
    offset = identity.at.utcoffset()
    if offset is None:
        raise ValueError("the time of an identity needs a time zone")
    minutes = int(offset.total_seconds()) // 60
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    seconds = max(0, int(identity.at.timestamp()))
    return f"{name} <{email}> {seconds} {zone}".encode("utf-8", "replace")
