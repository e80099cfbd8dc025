"""Passwords: Argon2id hashes, the rules for new ones, no hint whether a person exists."""

from __future__ import annotations

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from llmos.core.errors import BadRequest
from llmos.infra.i18n import lazy

MIN_CHARS = 8
MAX_CHARS = 512

# 24 MiB and two passes: above the usual minimum, well under 100 ms on a small server.
_hasher = PasswordHasher(time_cost=2, memory_cost=24 * 1024, parallelism=1, hash_len=32, salt_len=16)
# The hash that is checked for a person who has none, so that the answer takes as long.
_DECOY = "$argon2id$v=19$m=24576,t=2,p=1$6u53rtr8tM5pDE0a51kbTA$npxg+bJ+C6altQMoePlNcdb7l1TQV1wg0SNQ2P47Od4"
# Bounds the memory that a burst of sign-ins can take.
_slots = threading.BoundedSemaphore(4)


def _normal(password: str) -> str:
    # Two keyboards may type the same character as different code points.
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, *, names: tuple[str, ...] = ()) -> None:
    """Refuse (BadRequest) a new password that is short, over-long or one of the person's own names."""
    field = {"field": "password"}
    if any("\ud800" <= char <= "\udfff" or char == "\0" for char in password):
        raise BadRequest(lazy("The password holds a character that text may not have."), data=field)
    if len(password) < MIN_CHARS:
        raise BadRequest(
            lazy("The password is too short: at least %(count)d characters.", count=MIN_CHARS), data=field
        )
    if len(password) > MAX_CHARS:
        raise BadRequest(
            lazy("The password is too long: at most %(count)d characters.", count=MAX_CHARS), data=field
        )
    folded = _normal(password).casefold()
    if any(folded == _normal(name).casefold() for name in names if name):
        raise BadRequest(lazy("The password may not be the name or the mail address."), data=field)
    if len(set(folded)) < 3:
        raise BadRequest(lazy("The password is too simple: use more different characters."), data=field)


def hash_password(password: str) -> str:
    """The Argon2id hash to store. Takes tens of milliseconds: call it outside a transaction."""
    with _slots:
        return _hasher.hash(_normal(password))


def is_password_right(password: str, stored: str | None) -> bool:
    """Whether `password` belongs to the hash; takes as long for a person without one (None)."""
    if len(password) > MAX_CHARS:
        return False
    try:
        with _slots:
            _hasher.verify(stored or _DECOY, _normal(password))
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False
    return stored is not None


def needs_rehash(stored: str) -> bool:
    """Whether the hash was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(stored)
