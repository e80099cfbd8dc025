"""Calls of tools in what a model says, in the two ways models write them."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_BLOCK = re.compile(re.escape(_OPEN) + r"\s*(.*?)\s*(?:" + re.escape(_CLOSE) + r"|\Z)", re.DOTALL)


class ToolWatch:
    """Holds back what may be a call: from `<tool_call>` on, or everything that begins with `{` or `[`.

    What turns out to be none is told at the end.
    """

    def __init__(self, tools: list[dict[str, Any]]) -> None:
        self._names = {tool.get("function", tool).get("name") for tool in tools if isinstance(tool, dict)}
        self._held = ""
        self._is_begun = False
        self._is_call = False

    def push(self, text: str) -> str:
        if not text:
            return ""
        if self._is_call:
            self._held += text
            return ""
        text = self._held + text
        self._held = ""
        if not self._is_begun:
            start = text.lstrip()
            if not start or start[0] in "{[":
                self._held, self._is_call = text, bool(start)
                return ""
            self._is_begun = True
        place = text.find(_OPEN)
        if place >= 0:
            self._held, self._is_call = text[place:], True
            return text[:place]
        keep = next((n for n in range(len(_OPEN) - 1, 0, -1) if text.endswith(_OPEN[:n])), 0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def end(self) -> tuple[str, list[dict[str, Any]]]:
        """Text that was no call after all, and the calls in OpenAI's shape."""
        calls = [call for part in _parts(self._held) if (call := self._call(part)) is not None]
        if not self._is_call or not calls:
            return self._held, []
        return "", [{**call, "index": number} for number, call in enumerate(calls)]

    def _call(self, part: Any) -> dict[str, Any] | None:
        if isinstance(part, dict) and isinstance(part.get("function"), dict):
            part = part["function"]
        if not isinstance(part, dict) or part.get("name") not in self._names:
            return None
        arguments = part.get("arguments", part.get("parameters", {}))
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        return {
            "id": f"call_{secrets.token_hex(12)}",
            "type": "function",
            "function": {"name": part["name"], "arguments": text},
        }


def _parts(text: str) -> list[Any]:
    blocks = _BLOCK.findall(text) if _OPEN in text else [text.strip()]
    found: list[Any] = []
    for block in blocks:
        try:
            value = json.loads(block)
        except ValueError:
            continue
        found += value if isinstance(value, list) else [value]
    return found
