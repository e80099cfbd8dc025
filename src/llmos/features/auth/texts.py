"""Markdown people write to each other: `@name` and `#12` lead where they should."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.names import name_key
from llmos.features.accounts.models import Namespace
from llmos.ui.filters import path_segment
from llmos.ui.markdown import References, Rendered, find_mentions, render_markdown

# The same comments are read again and again; longer texts are rare and would fill the memory.
_MAX_KEPT = 1000
_MAX_KEPT_CHARS = 8000


def text_references(
    db: Session, texts: Iterable[str], context: str = "", known: Iterable[str] = ()
) -> References:
    """What `@name` and `#12` lead to in all texts of a page, with one query.

    `context` is the path of the repository the texts stand in (`/ada/tiny-llm`); without one,
    numbers mean topics of the forum. `known` are names of people the page has read already: where
    nobody else is mentioned, there is no query.
    """
    people = {name.lower(): f"/{path_segment(name)}" for name in known}
    keys = {name_key(name) for name in find_mentions(texts) if name.lower() not in people}
    if keys:
        found = db.scalars(select(Namespace.name).where(Namespace.name_key.in_(sorted(keys))))
        people |= {name.lower(): f"/{path_segment(name)}" for name in found}
    return _references(people, context)


def _references(people: Mapping[str, str], context: str) -> References:
    def thread_href(repo: str | None, number: int) -> str | None:
        if repo is not None:
            return f"/{repo}/discussions/{number}"
        return f"{context}/discussions/{number}" if context else f"/forum/{number}"

    return References(people, thread_href)


def render_text(
    db: Session, text: str, context: str = "", *, scope: str = "", references: References | None = None
) -> Rendered:
    """One text as a comment of `context`; a page with many passes the `references` of all of them
    (made by `text_references` for the same `context`), and for each the id of the comment as `scope`.
    """
    people = references.people if references else text_references(db, [text], context).people
    named = tuple(sorted(people.items())) if "@" in text else ()
    render = _render_kept if len(text) <= _MAX_KEPT_CHARS else _render
    return render(text, context, scope, named)


def _render(text: str, context: str, scope: str, people: tuple[tuple[str, str], ...]) -> Rendered:
    return render_markdown(
        text,
        base_url_for_links=f"{context}/blob/main/" if context else "",
        image_base=f"{context}/resolve/main/" if context else "",
        heading_ids=False,
        references=_references(dict(people), context),
        scope=scope,
    )


_render_kept = lru_cache(maxsize=_MAX_KEPT)(_render)
