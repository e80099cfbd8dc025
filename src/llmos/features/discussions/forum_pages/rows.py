"""Topics as lines of a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from llmos.features.discussions.forum_categories import ICONS
from llmos.features.discussions.forum_pages.hrefs import (
    category_description,
    category_href,
    category_name,
    topic_href,
)
from llmos.features.discussions.models import OPEN, Category, Thread
from llmos.features.discussions.pages.thread_parts import person_of
from llmos.features.discussions.queries import list_tags
from llmos.infra.i18n import Locale
from llmos.ui.views import Person


@dataclass(frozen=True, slots=True)
class CategoryView:
    slug: str
    name: str
    href: str
    icon: str
    description: str
    format: str
    is_archived: bool


@dataclass(frozen=True, slots=True)
class TopicRow:
    """`replies` is the number of posts after the first."""

    title: str
    href: str
    author: Person | None
    last_author: Person | None
    last_at: datetime
    replies: int
    views: int
    category: CategoryView | None
    tags: Sequence[str]
    is_pinned: bool
    is_locked: bool
    is_open: bool
    is_question: bool
    is_solved: bool


def view_category(category: Category, locale: Locale) -> CategoryView:
    return CategoryView(
        category.slug,
        category_name(category, locale),
        category_href(category),
        category.icon if category.icon in ICONS else ICONS[0],
        category_description(category, locale),
        category.format,
        category.is_archived,
    )


def topic_rows(db: Session, threads: Sequence[Thread], locale: Locale) -> list[TopicRow]:
    """The rows of topics whose people and categories are loaded; one query for their tags."""
    tags = list_tags(db, threads)
    return [topic_row(thread, locale, tags) for thread in threads]


def topic_row(thread: Thread, locale: Locale, tags: Mapping[int, Sequence[str]]) -> TopicRow:
    category = thread.category
    return TopicRow(
        title=thread.title,
        href=topic_href(thread),
        author=person_of(thread.author),
        last_author=person_of(thread.last_author),
        last_at=thread.last_activity_at,
        replies=max(thread.comment_count - 1, 0),
        views=thread.view_count,
        category=view_category(category, locale) if category is not None else None,
        tags=tags.get(thread.id, ()),
        is_pinned=thread.is_pinned,
        is_locked=thread.is_locked,
        is_open=thread.status == OPEN,
        is_question=category is not None and category.format == "question",
        is_solved=thread.answer_id is not None,
    )
