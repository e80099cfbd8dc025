"""The instance's Ed25519 key: what its name stands behind is signed with it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from llmos.infra.settings import Settings


def instance_key_path(settings: Settings) -> Path:
    return settings.home / "secrets" / "instance_key"


def load_instance_key(settings: Settings) -> bytes:
    """The private key as PEM (PKCS #8), readable by its owner alone; made by the first call.

    Two processes that make it at once end with the same key.
    """
    path = instance_key_path(settings)
    if path.exists():
        return path.read_bytes()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".instance_key.{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as out:
            out.write(_make_key())
            out.flush()
            os.fsync(out.fileno())
        # A link never replaces a key that another process has made meanwhile.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_bytes()


def _make_key() -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
