"""Messages that are stored in one language and read in another."""

from __future__ import annotations

import json

from llmos.infra.i18n import LazyString

_MARK = '{"said": '
# What one part of a message may take: columns are short.
MAX_PART_CHARS = 120


def keep(message: str) -> str:
    """`message` as it is stored: a text, or the message with its parts, for `said`."""
    if not isinstance(message, LazyString) or not message.params:
        return message.message if isinstance(message, LazyString) else str(message)
    parts = {name: str(value)[:MAX_PART_CHARS] for name, value in message.params.items()}
    return json.dumps({"said": message.message, "parts": parts}, ensure_ascii=False)


def said(text: str) -> str:
    """A message that `keep` has made, to be shown in the language of whoever reads it."""
    if not text.startswith(_MARK):
        # Translated where the catalogue knows it.
        return text
    try:
        found = json.loads(text)
        return LazyString(found["said"], found["parts"])
    except (ValueError, KeyError, TypeError):
        return text
