"""The YAML block at the top of `README.md`, split from the Markdown below it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from llmos.features.repos.cards.safe_yaml import YamlError, load_yaml

# The block must open the file; the Hub accepts blank lines before it and any line ending.
_BLOCK = re.compile(r"\s*---[ \t]*(?:\r\n|\r|\n)(?:([\S\s]*?)(?:\r\n|\r|\n))??---[ \t]*(?:\r\n|\r|\n|\Z)")


@dataclass(frozen=True)
class Card:
    """A card read leniently: broken metadata gives `error` and empty `data`, never a failure."""

    data: dict[str, Any] = field(default_factory=dict)
    body: str = ""
    has_metadata: bool = False
    error: str | None = None
    duplicate_keys: tuple[str, ...] = ()


def decode_text(content: bytes | str) -> str:
    """Text of a card: UTF-8 with or without BOM; undecodable bytes become U+FFFD."""
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    return text.removeprefix("\ufeff")


def split_front_matter(content: bytes | str) -> tuple[str | None, str]:
    """`(yaml_text, body)`; `yaml_text` is None where the text opens with no `---` block."""
    text = decode_text(content)
    match = _BLOCK.match(text)
    if match is None:
        return None, text
    return match.group(1) or "", text[match.end() :]


def read_card(content: bytes | str) -> Card:
    """Read a card without refusing anything, as pages and the index need it.

    `data` holds the front matter as JSON-able values with text keys. When the YAML is broken,
    too large or not a mapping, `data` is empty and `error` says why.
    """
    yaml_text, body = split_front_matter(content)
    if yaml_text is None:
        return Card(body=body)
    try:
        document = load_yaml(yaml_text)
    except YamlError as error:
        return Card(body=body, has_metadata=True, error=error.message)
    if document.value is None:
        return Card(body=body)
    if not isinstance(document.value, dict):
        error_text = "repo card metadata block must be a mapping of keys to values"
        return Card(body=body, has_metadata=True, error=error_text)
    return Card(
        data=document.value,
        body=body,
        has_metadata=bool(document.value),
        duplicate_keys=document.duplicate_keys,
    )
