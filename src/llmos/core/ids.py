"""Identifiers and secrets."""

from __future__ import annotations

import secrets
import string
import time

_ALPHANUMERIC = string.ascii_letters + string.digits

TOKEN_PREFIX = "hf_"
TOKEN_BODY_CHARS = 37


def new_object_id() -> str:
    """24 hex digits, roughly ordered by time: the shape clients expect of `_id`."""
    return f"{int(time.time()) & 0xFFFFFFFF:08x}{secrets.token_hex(8)}"


def new_access_token() -> str:
    """`hf_` and 37 letters or digits; some clients silently drop any other shape."""
    return TOKEN_PREFIX + "".join(secrets.choice(_ALPHANUMERIC) for _ in range(TOKEN_BODY_CHARS))


def new_secret(byte_count: int = 32) -> str:
    return secrets.token_urlsafe(byte_count)
