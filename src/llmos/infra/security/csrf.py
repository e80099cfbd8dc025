"""Form tokens: a page's POST proves that the form came from a page of ours, in this session."""

from __future__ import annotations

import hashlib

from llmos.infra.security.signing import Signer

_PURPOSE = "csrf"


def _digest(binding: str) -> str:
    return hashlib.sha256(binding.encode()).hexdigest()[:24]


def issue_csrf(signer: Signer, binding: str) -> str:
    """The token of one session or visitor; `binding` names it and is not readable from the token."""
    return signer.sign(_PURPOSE, {"b": _digest(binding)})


def is_csrf_valid(signer: Signer, token: str, binding: str) -> bool:
    """Whether `token` was issued by this instance for exactly this `binding`."""
    payload = signer.verify(_PURPOSE, token)
    return payload is not None and payload.get("b") == _digest(binding)
