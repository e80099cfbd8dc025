"""The categories of the forum and those it begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import NotFound
from llmos.features.discussions.models import Category
from llmos.infra.db.upsert import insert_missing
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime


@dataclass(frozen=True, slots=True)
class _Seed:
    slug: str
    name_en: str
    name_zh: str
    description_en: str
    description_zh: str
    format: str
    icon: str


SEEDS = (
    _Seed(
        "announcements", "Announcements", "公告",
        "News of this site, from its team.", "本站动态，由管理团队发布。", "announcement", "megaphone",
    ),
    _Seed(
        "help", "Help", "求助",
        "Ask, and mark the answer that helped.", "提出问题，并采纳有用的回答。", "question", "life-buoy",
    ),
    _Seed(
        "show", "Show and tell", "作品展示",
        "What you built, trained or measured.", "展示您构建、训练或测评的成果。", "open", "sparkles",
    ),
    _Seed(
        "papers", "Papers", "论文",
        "Read papers together, and try them.", "一起读论文，交流复现经验。", "open", "book-open",
    ),
    _Seed(
        "languages", "Languages", "语言",
        "Models and data for the languages people speak.", "面向各种语言的模型与数据。", "open", "languages",
    ),
    _Seed(
        "off-topic", "Off topic", "闲聊",
        "Everything else.", "其他一切话题。", "open", "coffee",
    ),
)  # fmt: skip


def ensure_categories(rt: Runtime) -> None:
    """Give an instance that has no category yet those it begins with; safe to run at every start."""
    with rt.database.reading() as db:
        if db.scalar(select(func.count()).select_from(Category)):
            return
    with rt.database.writing() as db:
        if not db.scalar(select(func.count()).select_from(Category)):
            shared = {"is_archived": False, "created_at": clock.now()}
            rows = [{**asdict(seed), "position": place, **shared} for place, seed in enumerate(SEEDS)]
            insert_missing(db, Category, rows)


def list_categories(db: Session, *, with_archived: bool = False) -> Sequence[Category]:
    """In the order of the forum's first page."""
    statement = select(Category).order_by(Category.position, Category.id)
    if not with_archived:
        statement = statement.where(Category.is_archived.is_(False))
    return db.scalars(statement).all()


def access_category(db: Session, slug: str) -> Category:
    """The category with this slug; NotFound if there is none."""
    found = db.scalars(select(Category).where(Category.slug == slug.lower())).one_or_none()
    if found is None:
        raise NotFound(lazy("There is no category %(slug)r.", slug=slug[:60]))
    return found
