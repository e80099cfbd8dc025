"""Password hashes and the rules for new passwords."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from llmos.core.errors import BadRequest
from llmos.infra.security.passwords import check_password, hash_password, is_password_right, needs_rehash


def test_a_hash_is_argon2id_and_salted() -> None:
    first, second = hash_password("correct horse"), hash_password("correct horse")
    assert first.startswith("$argon2id$")
    assert first != second
    assert is_password_right("correct horse", first)
    assert not is_password_right("correct hors", first)
    assert not needs_rehash(first)


def test_nobody_and_broken_hashes_are_never_right() -> None:
    assert not is_password_right("a decoy nobody types", None)
    assert not is_password_right("x", "not a hash")
    assert not is_password_right("x" * 1000, hash_password("x" * 100))
    assert not is_password_right("\ud800", None)


def test_keyboards_may_differ() -> None:
    assert is_password_right("caf\u00e9 noir", hash_password("cafe\u0301 noir"))


def test_old_parameters_are_noticed() -> None:
    assert needs_rehash(PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("x"))


@pytest.mark.parametrize(
    "password", ["", "1234567", "ADA", "Ada@Example.org", "aaaaaaaa", "x" * 600, "a\0bcdefgh"]
)
def test_weak_passwords_are_refused_with_their_field(password: str) -> None:
    with pytest.raises(BadRequest) as refused:
        check_password(password, names=("ada", "ada@example.org"))
    assert refused.value.data == {"field": "password"}
