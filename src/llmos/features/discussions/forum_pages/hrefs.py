"""Addresses of the forum. A topic is known by its number; the words behind it are for people."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

from llmos.features.discussions.models import Category, Thread
from llmos.infra.i18n import Locale

MAX_SLUG_CHARS = 60
_BREAKS = re.compile(r"[^\w]+|_+")


def slug_of(title: str) -> str:
    """Letters and digits of a title in any script, joined by hyphens; `topic` where there are none."""
    words = _BREAKS.sub("-", unicodedata.normalize("NFKC", title).lower()).strip("-")
    return words[:MAX_SLUG_CHARS].rstrip("-") or "topic"


def topic_href(thread: Thread) -> str:
    """The page of a topic; addresses of what one does with it begin so, too."""
    return f"/forum/{thread.id}/{quote(slug_of(thread.title), safe='')}"


def post_href(thread: Thread, public_id: str) -> str:
    """The permalink of a post; it holds whatever becomes of the title."""
    return f"/forum/{thread.id}/-/comments/{public_id}"


def category_href(category: Category) -> str:
    return f"/forum/c/{category.slug}"


def tag_href(tag: str) -> str:
    return f"/forum/t/{quote(tag, safe='')}"


def category_name(category: Category, locale: Locale) -> str:
    return category.name_zh if locale == "zh" else category.name_en


def category_description(category: Category, locale: Locale) -> str:
    return category.description_zh if locale == "zh" else category.description_en
