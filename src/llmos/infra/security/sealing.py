"""Small secrets at rest: sealed under a key of the instance, so that a copy of the database tells nothing.

AES-256-GCM; `cryptography` is loaded by the first call, as most instances never seal anything.
"""

from __future__ import annotations

import base64
import os

from llmos.core.errors import LlmosError
from llmos.infra.security.signing import Signer

_NONCE_BYTES = 12


def seal(signer: Signer, purpose: str, data: bytes) -> str:
    """Text that only this instance opens, and only for the same purpose."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(signer.derive_key(purpose)).encrypt(nonce, data, purpose.encode())
    return base64.b64encode(nonce + sealed).decode()


def unseal(signer: Signer, purpose: str, text: str) -> bytes:
    """What was sealed. LlmosError when the key of the instance is another one now."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    raw = base64.b64decode(text)
    try:
        key = signer.derive_key(purpose)
        return AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], purpose.encode())
    except InvalidTag as error:
        raise LlmosError(
            "A stored secret was sealed with another LLMOS_SECRET_KEY: set the old key, or store it again."
        ) from error
