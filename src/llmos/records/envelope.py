"""Signatures: DSSE envelopes around statements, and signed heads of a log.

DSSE (Dead Simple Signing Envelope v1, "Protocol") signs the pre-authentication encoding of type and
payload; a signature of one type never passes for another.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from datetime import datetime

from llmos.records.canonical import canonical
from llmos.records.errors import RecordError
from llmos.records.keys import PrivateKey, PublicKey
from llmos.wire.evaluation import PAYLOAD_TYPE, TREE_HEAD_TYPE, Envelope, Signature, TreeHead

SIGNATURE_BYTES = 64


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is really signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, key: PrivateKey) -> Envelope:
    """The envelope of a statement: `payload` is the bytes of statement.json."""
    signature = Signature(keyid=key.public.keyid, sig=_b64(key.sign(pae(PAYLOAD_TYPE, payload))))
    return Envelope(payload=_b64(payload), signatures=[signature])


def envelope_bytes(envelope: Envelope) -> bytes:
    """The content of envelope.json."""
    return canonical(envelope.model_dump(mode="json")) + b"\n"


def payload_of(envelope: Envelope) -> bytes:
    """The signed bytes, believed by nobody yet. Raises RecordError when they are not base64."""
    return _unb64(envelope.payload, "the payload of envelope.json")


def list_signers(envelope: Envelope, keys: Iterable[PublicKey]) -> list[PublicKey]:
    """Those of `keys` whose signature is on the envelope, under their own name, and holds."""
    message = pae(envelope.payload_type, payload_of(envelope))
    raw = [(each.keyid, _signature(each.sig)) for each in envelope.signatures]
    return [
        key
        for key in keys
        if any(keyid == key.keyid and sig and key.is_signature(sig, message) for keyid, sig in raw)
    ]


def sign_tree_head(root: bytes, tree_size: int, at: datetime, key: PrivateKey) -> TreeHead:
    """The head of the log that belongs to `key`: its first `tree_size` entries have this root."""
    keyid = key.public.keyid
    head = TreeHead(log_id=keyid, tree_size=tree_size, root=root.hex(), at=at, keyid=keyid, sig="")
    return head.model_copy(update={"sig": _b64(key.sign(_head_message(head)))})


def is_tree_head_signed(head: TreeHead, key: PublicKey) -> bool:
    """Whether `key` signed this head of its own log."""
    sig = _signature(head.sig)
    return head.log_id == key.keyid and sig is not None and key.is_signature(sig, _head_message(head))


def _head_message(head: TreeHead) -> bytes:
    return pae(TREE_HEAD_TYPE, canonical(head.model_dump(mode="json", exclude={"keyid", "sig"})))


def _signature(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == SIGNATURE_BYTES else None


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _unb64(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RecordError(f"{name} is not base64.") from error
