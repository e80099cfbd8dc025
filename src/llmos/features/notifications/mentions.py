"""Names mentioned in Markdown: `@ada`, outside of code, links and quotations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.names import name_key
from llmos.features.accounts.models import Membership, Namespace, User

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MAX_NAMES = 50
MAX_MEMBERS = 500
MAX_CHARS = 200_000
# What stands before must not make it part of a word, an address or a path.
_MENTION = re.compile(r"(?<![\w@/.\-+])@([A-Za-z0-9_](?:[A-Za-z0-9._-]{0,60}[A-Za-z0-9_])?)(?![@/])")


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    # The worker rarely needs it, and it is large.
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table")


def find_mentions(text: str) -> list[str]:
    """The mentioned names (keys), in order, each once, at most MAX_NAMES; whether they exist is not asked."""
    if "@" not in text:
        return []
    found: dict[str, None] = {}
    for part in _plain_texts(_parser().parse(text[:MAX_CHARS])):
        for match in _MENTION.finditer(part):
            found[name_key(match[1])] = None
    return list(found)[:MAX_NAMES]


def _plain_texts(tokens: list[Token]) -> Iterator[str]:
    quotes = links = 0
    for token in tokens:
        quotes += {"blockquote_open": 1, "blockquote_close": -1}.get(token.type, 0)
        if token.type != "inline" or quotes:
            continue
        links = 0
        line = ""
        for child in token.children or ():
            links += {"link_open": 1, "link_close": -1}.get(child.type, 0)
            # Anything else than text ends a word.
            line += child.content if child.type == "text" and not links else "\n"
        yield line


def mentioned_people(db: Session, author_id: int | None, text: str) -> set[int]:
    """The ids of the people whom a text of `author_id` addresses, the author not among them.

    A member's mention of an organisation reaches all its members, anybody else's its admins.
    """
    keys = find_mentions(text)
    if not keys:
        return set()
    rows = db.execute(select(Namespace.id, Namespace.kind).where(Namespace.name_key.in_(keys))).all()
    people = {row.id for row in rows if row.kind == "user"}
    for org_id in (row.id for row in rows if row.kind == "org"):
        people |= _members(db, org_id, author_id)
    people.discard(author_id or 0)
    active = select(User.id).where(User.id.in_(people), User.disabled_at.is_(None))
    return set(db.scalars(active)) if people else set()


def _members(db: Session, org_id: int, author_id: int | None) -> set[int]:
    statement = select(Membership.user_id).where(Membership.org_id == org_id)
    if db.get(Membership, (org_id, author_id or 0)) is None:
        statement = statement.where(Membership.role == "admin")
    return set(db.scalars(statement.order_by(Membership.created_at).limit(MAX_MEMBERS)))
