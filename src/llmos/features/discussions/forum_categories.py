"""Changing the categories of the forum; for administrators."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, Conflict
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.policy import check_is_admin
from llmos.features.discussions.models import Category
from llmos.features.discussions.texts import check_title
from llmos.infra.i18n import lazy

FORMATS = ("open", "question", "announcement", "paper")
ICONS = (
    "message-circle", "megaphone", "life-buoy", "sparkles", "book-open", "languages", "coffee", "lightbulb",
    "rocket", "graduation-cap", "database", "box", "wrench", "scale", "globe", "trophy", "newspaper", "users",
)  # fmt: skip
MAX_CATEGORIES = 50
MAX_NAME_CHARS = 100
MAX_DESCRIPTION_CHARS = 500
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True)
class CategoryWish:
    """What an administrator fills in; `slug` is part of addresses and never changes."""

    name_en: str
    name_zh: str
    description_en: str = ""
    description_zh: str = ""
    format: str = "open"
    icon: str = "message-circle"


def _check_wish(wish: CategoryWish) -> CategoryWish:
    name_en = check_title(wish.name_en or wish.name_zh)
    name_zh = check_title(wish.name_zh or wish.name_en)
    if max(len(name_en), len(name_zh)) > MAX_NAME_CHARS:
        raise BadRequest(lazy("A name has at most %(limit)s characters.", limit=MAX_NAME_CHARS))
    if max(len(wish.description_en), len(wish.description_zh)) > MAX_DESCRIPTION_CHARS:
        raise BadRequest(lazy("A description has at most %(limit)s characters.", limit=MAX_DESCRIPTION_CHARS))
    if wish.format not in FORMATS:
        raise BadRequest(lazy("format must be one of %(list)s.", list=", ".join(FORMATS)))
    icon = wish.icon if wish.icon in ICONS else ICONS[0]
    description_en = wish.description_en or wish.description_zh
    description_zh = wish.description_zh or wish.description_en
    return CategoryWish(name_en, name_zh, description_en, description_zh, wish.format, icon)


def _fill(category: Category, wish: CategoryWish) -> None:
    category.name_en, category.name_zh = wish.name_en, wish.name_zh
    category.description_en, category.description_zh = wish.description_en, wish.description_zh
    category.format, category.icon = wish.format, wish.icon


def create_category(db: Session, actor: Actor, slug: str, wish: CategoryWish) -> Category:
    """Add a category after the others. BadRequest for what does not fit, Conflict for a slug in use."""
    check_is_admin(actor)
    slug = slug.strip().lower()
    if not _SLUG.match(slug):
        raise BadRequest(
            lazy("The address must be 1 to 60 small letters, digits and hyphens, as in help-wanted.")
        )
    wish = _check_wish(wish)
    if db.scalar(select(Category.id).where(Category.slug == slug)) is not None:
        raise Conflict(lazy("There is a category %(slug)s already.", slug=slug))
    count, last = db.execute(select(func.count(), func.max(Category.position))).one()
    if count >= MAX_CATEGORIES:
        raise BadRequest(
            lazy(
                "At most %(limit)s categories are accepted: rename one that is archived.",
                limit=MAX_CATEGORIES,
            )
        )
    category = Category(slug=slug, position=(last or 0) + 1)
    _fill(category, wish)
    db.add(category)
    db.flush()
    audit.record(db, actor, "category.create", slug)
    return category


def change_category(
    db: Session, actor: Actor, category: Category, wish: CategoryWish, *, is_archived: bool
) -> None:
    """Rename it, and close it for new topics or open it again; its topics stay where they are."""
    check_is_admin(actor)
    _fill(category, _check_wish(wish))
    category.is_archived = is_archived
    db.flush()
    audit.record(db, actor, "category.change", category.slug, archived=is_archived)


def move_category(db: Session, actor: Actor, category: Category, step: int) -> None:
    """Swap places with the category before (-1) or after (1) it; at the end nothing happens."""
    check_is_admin(actor)
    everyone: Sequence[Category] = db.scalars(select(Category).order_by(Category.position, Category.id)).all()
    ordered = list(everyone)
    at = ordered.index(category)
    to = at + (1 if step > 0 else -1)
    if 0 <= to < len(ordered):
        ordered[at], ordered[to] = ordered[to], ordered[at]
    for position, row in enumerate(ordered):
        row.position = position
    db.flush()
