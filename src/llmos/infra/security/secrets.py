"""Secrets of an instance: generated on the first run, kept readable by the owner alone."""

from __future__ import annotations

import hashlib
import os
import secrets

from llmos.infra.settings import Settings


def hash_secret(secret: str) -> str:
    """SHA-256 hex of a random secret (tokens, cookies); too weak for passwords by design of the input."""
    return hashlib.sha256(secret.encode()).hexdigest()


def load_secret_key(settings: Settings) -> bytes:
    """The instance's signing key; created on the first call where none is set."""
    if settings.secret_key:
        if len(settings.secret_key) < 32:
            raise SystemExit("LLMOS_SECRET_KEY is too short: give at least 32 characters.")
        return settings.secret_key.encode()
    path = settings.home / "secrets" / "secret_key"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes().strip()
    with os.fdopen(fd, "wb") as out:
        key = secrets.token_hex(32).encode()
        out.write(key)
        out.flush()
        os.fsync(out.fileno())
    return key
