"""Log-probabilities of tokens, in the two shapes of this API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# What stands for "never": JSON has no infinity.
LEAST = -9999.0


def token_name(token: dict[str, Any]) -> str:
    """The token's text; `bytes:\\xe4\\xb8` where it is only a part of a character."""
    raw = token.get("bytes")
    if raw:
        try:
            bytes(raw).decode()
        except ValueError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)
    return str(token.get("text", ""))


def _value(logprob: float | None) -> float:
    return LEAST if logprob is None else max(float(logprob), LEAST)


def chat_logprobs(tokens: Sequence[dict[str, Any]], top: int) -> dict[str, Any]:
    """`{"content": [{"token", "logprob", "bytes", "top_logprobs"}]}`."""
    return {"content": [_chat_token(token, top) for token in tokens], "refusal": None}


def _chat_token(token: dict[str, Any], top: int) -> dict[str, Any]:
    return _plain(token) | {"top_logprobs": [_plain(other) for other in (token.get("top") or ())[:top]]}


def _plain(token: dict[str, Any]) -> dict[str, Any]:
    return {
        "token": token_name(token),
        "logprob": _value(token.get("logprob")),
        "bytes": list(token.get("bytes") or ()),
    }


def text_logprobs(tokens: Sequence[dict[str, Any]], offsets: Sequence[int]) -> dict[str, Any]:
    """`{"tokens", "token_logprobs", "top_logprobs", "text_offset"}`; the first of a text has none."""
    return {
        "tokens": [token_name(token) for token in tokens],
        "token_logprobs": [
            None if token.get("logprob") is None else _value(token["logprob"]) for token in tokens
        ],
        "top_logprobs": [_tops(token) for token in tokens],
        "text_offset": list(offsets),
    }


def _tops(token: dict[str, Any]) -> dict[str, float] | None:
    """The alternatives and the token itself; of two that read alike, the likelier."""
    if token.get("logprob") is None:
        return None
    found: dict[str, float] = {}
    for other in (*(token.get("top") or ()), token):
        name, value = token_name(other), _value(other.get("logprob"))
        found[name] = max(value, found.get(name, value))
    return found


class Offsets:
    """Where each token begins in the text, in characters, whole text given or not.

    Tokens before the text which are no part of it (a model's own beginning) lie at its start.
    """

    def __init__(self) -> None:
        self._bytes = 0
        self._chars = 0

    def of_prompt(self, tokens: Sequence[dict[str, Any]], text: str | None) -> list[int]:
        """Of a prompt's tokens; `text` is what was sent, None where ids were."""
        raws = [bytes(token.get("bytes") or ()) for token in tokens]
        if text is not None:
            sent = text.encode()
            extra = len(b"".join(raws)) - len(sent)
            number = 0
            while extra > 0 and number < len(raws):
                extra -= len(raws[number])
                raws[number] = b""
                number += 1
        return [self._step(raw) for raw in raws]

    def of(self, tokens: Sequence[dict[str, Any]]) -> list[int]:
        return [self._step(bytes(token.get("bytes") or ())) for token in tokens]

    def _step(self, raw: bytes) -> int:
        # A character counts where its first byte is; a token that begins inside one lies where that begins.
        before = self._chars - (bool(raw) and raw[0] & 0xC0 == 0x80 and self._chars > 0)
        self._chars += sum(byte & 0xC0 != 0x80 for byte in raw)
        return before


def prompt_text(tokens: Sequence[dict[str, Any]]) -> str:
    """The text of a prompt that was sent as ids."""
    return b"".join(bytes(token.get("bytes") or ()) for token in tokens).decode("utf-8", "replace")
