"""Ed25519 keys: PEM files that `openssl` reads too, each named by the SHA-256 of its 32 raw public bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmos.records.errors import RecordError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_KEY_BYTES = 100_000
MAX_KEYS = 100
_BEGIN = b"-----BEGIN "


@dataclass(frozen=True)
class PublicKey:
    """What others check with. `keyid` is its name everywhere."""

    raw: bytes

    @property
    def keyid(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()

    def to_pem(self) -> str:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return self._key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def is_signature(self, signature: bytes, message: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature

        try:
            self._key().verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def _key(self) -> Ed25519PublicKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        return Ed25519PublicKey.from_public_bytes(self.raw)


@dataclass(frozen=True, repr=False)
class PrivateKey:
    """What signs. Its bytes stay out of every text."""

    key: Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message)

    def to_pem(self) -> bytes:
        """PKCS #8, not encrypted."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def create_private_key() -> PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return PrivateKey(Ed25519PrivateKey.generate())


def load_private_key(pem: bytes, *, name: str = "private key") -> PrivateKey:
    """The key in a PKCS #8 PEM. Raises RecordError when it is no Ed25519 key or is encrypted."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise RecordError(
            f"{name} holds no private key in PEM form without a password.", file=name
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise RecordError(f"{name} is not an Ed25519 key, the only kind that signs records.", file=name)
    return PrivateKey(key)


def load_public_keys(pem: bytes, *, name: str = "public key") -> list[PublicKey]:
    """All public keys of a PEM file, one or several. Raises RecordError when there is none, or another kind.

    A file with a private key in it is refused, so that nobody hands one out by mistake.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if b"PRIVATE KEY" in pem:
        raise RecordError(
            f"{name} holds a private key: give the public one, from `llmos key show`.", file=name
        )
    blocks = pem.split(_BEGIN)[1:]
    if not blocks or len(pem) > MAX_KEY_BYTES or len(blocks) > MAX_KEYS:
        raise RecordError(
            f"{name} is no public key in PEM form, as `llmos key show` prints it.",
            file=name,
        )
    keys = []
    for block in blocks:
        try:
            key = load_pem_public_key(_BEGIN + block)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise RecordError(
                f"{name} holds something that is no public key in PEM form.", file=name
            ) from error
        if not isinstance(key, Ed25519PublicKey):
            raise RecordError(f"{name} is not an Ed25519 key, the only kind that signs records.", file=name)
        keys.append(PublicKey(key.public_bytes_raw()))
    return keys
