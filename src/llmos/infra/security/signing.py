"""Short-lived signed strings: links and tokens the server can check without a table."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any


class Signer:
    """Signs JSON payloads with HMAC-SHA256 under a key derived per purpose.

    A string signed for one purpose never verifies for another.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def _mac(self, purpose: str, data: bytes) -> bytes:
        derived = hmac.digest(self._key, b"llmos:" + purpose.encode(), hashlib.sha256)
        return hmac.digest(derived, data, hashlib.sha256)[:20]

    def derive_key(self, purpose: str) -> bytes:
        """32 bytes for another use of the instance's key, unlike those of any signature."""
        return hmac.digest(self._key, b"llmos-key:" + purpose.encode(), hashlib.sha256)

    def sign(self, purpose: str, payload: dict[str, Any], *, ttl_s: float | None = None) -> str:
        """URL-safe text; `exp` (unix seconds) is added when `ttl_s` is given."""
        body = dict(payload)
        if ttl_s is not None:
            body["exp"] = int(time.time() + ttl_s)
        raw = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
        return f"{_b64(raw)}.{_b64(self._mac(purpose, raw))}"

    def verify(self, purpose: str, text: str, *, grace_s: float = 0) -> dict[str, Any] | None:
        """The payload, or None when forged, meant for another purpose, or expired past the grace."""
        head, dot, tail = text.partition(".")
        if not dot:
            return None
        try:
            raw, given = _unb64(head), tail.encode("ascii")
        except ValueError:
            return None
        # As text: base64 drops what it does not know and the bits to spare of a last letter.
        if _b64(raw) != head or not hmac.compare_digest(given, _b64(self._mac(purpose, raw)).encode()):
            return None
        payload: dict[str, Any] = json.loads(raw)
        expires = payload.get("exp")
        if expires is not None and time.time() > expires + grace_s:
            return None
        return payload


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
