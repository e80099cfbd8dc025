"""Signed statements about a person for other programs: JWTs (RFC 7519) with RS256, and their public key.

`cryptography` is loaded by the first call, as most instances never sign one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.infra.blobs.durable import fsync_dir
from llmos.infra.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

ALGORITHM = "RS256"
_KEY_BITS = 2048


def sign_jwt(settings: Settings, claims: dict[str, Any]) -> str:
    """The claims as a JWS in compact form, by the instance's own key."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    key = _load_key(_key_path(settings))
    header = {"alg": ALGORITHM, "typ": "JWT", "kid": _key_id(key)}
    signed = f"{_b64(_json(header))}.{_b64(_json(claims))}"
    return f"{signed}.{_b64(key.sign(signed.encode(), PKCS1v15(), SHA256()))}"


def public_keys(settings: Settings) -> dict[str, Any]:
    """The JWK set (RFC 7517, section 5) that verifies what `sign_jwt` signs."""
    key = _load_key(_key_path(settings))
    return {"keys": [{**_jwk(key), "kid": _key_id(key), "alg": ALGORITHM, "use": "sig"}]}


def half_hash(text: str) -> str:
    """`at_hash` of a token (OpenID Connect Core, section 3.1.3.6, for an algorithm with SHA-256)."""
    return _b64(hashlib.sha256(text.encode("ascii")).digest()[:16])


def _key_path(settings: Settings) -> Path:
    return settings.home / "secrets" / "id_token_key.pem"


@lru_cache(maxsize=8)
def _load_key(path: Path) -> RSAPrivateKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not path.exists():
        _create_key(path)
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, RSAPrivateKey):
        raise SystemExit(f"{path} holds no RSA key: remove it, and a new one is made.")
    return key


def _create_key(path: Path) -> None:
    """Several processes may come here at once: one of their keys becomes the key of all."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    pem = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f"{path.name}.{os.urandom(8).hex()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(pem)
            out.flush()
            os.fsync(out.fileno())
        os.link(part, path)
        fsync_dir(path.parent)
    except FileExistsError:
        pass
    finally:
        part.unlink(missing_ok=True)


def _jwk(key: RSAPrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {"e": _b64_int(numbers.e), "kty": "RSA", "n": _b64_int(numbers.n)}


def _key_id(key: RSAPrivateKey) -> str:
    """The thumbprint of the public key (RFC 7638)."""
    return _b64(hashlib.sha256(_json(_jwk(key))).digest())


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _b64_int(number: int) -> str:
    return _b64(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
