"""Short selections that pages show beside lists: the latest, what trends, what somebody owns, people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import func, select, union_all
from sqlalchemy.orm import Session

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.repos.models import Repo, RepoFacts
from llmos.features.repos.visibility import visible_to

_SUMMARY_CHARS = 1500


def list_recent(db: Session, actor: Actor, *, limit: int) -> list[Repo]:
    """The latest changes among all types; what is private is nobody else's news."""
    statement = (
        select(Repo)
        .where(visible_to(actor), Repo.visibility != "private")
        .order_by(Repo.updated_at.desc(), Repo.id.desc())
    )
    return list(db.scalars(statement.limit(limit)).unique())


def list_trending(
    db: Session, actor: Actor, types: Sequence[RepoType], *, limit: int
) -> dict[RepoType, list[Repo]]:
    """Of each type what people turn to; an index answers each part of the one query."""
    order = (Repo.trending_score.desc(), Repo.id.desc())
    parts = []
    for repo_type in types:
        conditions = (Repo.type == repo_type.value, visible_to(actor), Repo.visibility != "private")
        part = select(Repo.id).where(*conditions).order_by(*order).limit(limit).subquery()
        parts.append(select(part.c.id))
    found: dict[RepoType, list[Repo]] = {kind: [] for kind in types}
    for repo in db.scalars(select(Repo).where(Repo.id.in_(union_all(*parts))).order_by(*order)).unique():
        found[repo.repo_type].append(repo)
    return found


def list_mine(db: Session, actor: Actor, *, limit: int) -> list[Repo]:
    """Repositories of the actor and of their organisations, the latest change first."""
    statement = (
        select(Repo)
        .where(Repo.namespace_id.in_([actor.user_id, *actor.roles]), visible_to(actor))
        .order_by(Repo.updated_at.desc(), Repo.id.desc())
    )
    return list(db.scalars(statement.limit(limit)).unique())


def list_owned(db: Session, actor: Actor, namespace_id: int, *, limit: int) -> dict[RepoType, list[Repo]]:
    """What a namespace publishes: of each type the latest changes, as far as the actor may see them."""
    place = (
        func.row_number()
        .over(partition_by=Repo.type, order_by=(Repo.updated_at.desc(), Repo.id.desc()))
        .label("place")
    )
    ranked = select(Repo.id, place).where(Repo.namespace_id == namespace_id, visible_to(actor)).subquery()
    statement = (
        select(Repo)
        .join(ranked, ranked.c.id == Repo.id)
        .where(ranked.c.place <= limit)
        .order_by(ranked.c.place)
    )
    found: dict[RepoType, list[Repo]] = {}
    for repo in db.scalars(statement).unique():
        found.setdefault(repo.repo_type, []).append(repo)
    return {kind: found[kind] for kind in RepoType if kind in found}


def count_by_type(db: Session, actor: Actor, namespace_id: int | None = None) -> dict[RepoType, int]:
    """How many repositories of each type the actor may see, everywhere or in one namespace."""
    statement = select(Repo.type, func.count()).where(visible_to(actor)).group_by(Repo.type)
    if namespace_id is not None:
        statement = statement.where(Repo.namespace_id == namespace_id)
    counts = {RepoType(kind): count for kind, count in db.execute(statement)}
    return {kind: counts.get(kind, 0) for kind in RepoType}


def card_beginnings(db: Session, repo_ids: Iterable[int]) -> dict[int, str]:
    """The beginning of each card's text, for a line of summary."""
    statement = select(RepoFacts.repo_id, func.substr(RepoFacts.card_text, 1, _SUMMARY_CHARS)).where(
        RepoFacts.repo_id.in_(list(repo_ids))
    )
    return {repo_id: text or "" for repo_id, text in db.execute(statement)}


def list_by_object_id(db: Session, actor: Actor, object_ids: Sequence[str]) -> dict[str, Repo]:
    statement = select(Repo).where(Repo.object_id.in_(object_ids), visible_to(actor))
    return {repo.object_id: repo for repo in db.scalars(statement).unique()}


def existing_names(db: Session, actor: Actor, repo_type: RepoType, names: Iterable[str]) -> set[str]:
    """Which of `namespace/name` are repositories the actor may see; in lower case."""
    wanted = {name.lower() for name in names}
    if not wanted:
        return set()
    full = Namespace.name_key + "/" + Repo.name_key
    statement = (
        select(full)
        .select_from(Repo)
        .join(Namespace, Namespace.id == Repo.namespace_id)
        .where(Repo.type == repo_type.value, full.in_(wanted), visible_to(actor))
    )
    return set(db.scalars(statement))


def list_people(db: Session, text: str, *, limit: int) -> list[Namespace]:
    """People and organisations whose name or full name begins with, or holds, the text."""
    part = text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")[:80]
    statement = (
        select(Namespace)
        .where(
            Namespace.name_key.like(f"%{part}%", escape="\\")
            | func.lower(Namespace.fullname).like(f"%{part}%", escape="\\")
        )
        .order_by(func.length(Namespace.name_key), Namespace.name_key)
        .limit(limit * 2)
    )
    found = db.scalars(statement).unique()
    return [item for item in found if item.user is None or item.user.disabled_at is None][:limit]
