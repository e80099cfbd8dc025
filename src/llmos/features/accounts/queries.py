"""Everything read about people and organisations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Select, exists, func, or_, select
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest
from llmos.core.names import name_key
from llmos.core.pagination import Page, check_limit, decode_cursor, make_page
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.avatars import avatar_url
from llmos.features.accounts.models import AuditEvent, Follow, Membership, Namespace, Organization, User
from llmos.features.accounts.policy import access_namespace, can_edit
from llmos.infra.i18n import lazy

T = TypeVar("T")
PAGE_SIZE = 100
MAX_PAGE_SIZE = 500


@dataclass(frozen=True)
class NamespaceCard:
    """One person or organisation in a list. `role` is theirs in the list's organisation, if any."""

    name: str
    fullname: str
    avatar_url: str
    kind: str
    role: str | None = None

    @property
    def href(self) -> str:
        return f"/{self.name}"


@dataclass(frozen=True)
class Profile:
    """What the head of a profile page shows; repositories are counted by those who know them."""

    namespace_id: int
    kind: str
    name: str
    fullname: str
    details: str
    website: str
    avatar_url: str
    created_at: datetime
    followers_count: int
    following_count: int
    is_following: bool
    is_self: bool
    can_edit: bool
    settings_href: str | None
    organizations: list[NamespaceCard]
    members: list[NamespaceCard]
    members_count: int


def card_of(namespace: Namespace, role: str | None = None) -> NamespaceCard:
    return NamespaceCard(
        namespace.name,
        namespace.fullname or namespace.name,
        avatar_url(namespace),
        namespace.kind,
        role,
    )


def profile(db: Session, actor: Actor, name: str) -> Profile:
    """The profile of a person or organisation, in any case of the name. Raises NotFound. Three queries."""
    namespace = access_namespace(db, actor, name)
    is_user = namespace.user is not None
    editable = can_edit(actor, namespace)
    own_settings = "/settings/profile" if actor.user_id == namespace.id else None
    org_settings = f"/orgs/{namespace.name}/settings" if not is_user and editable else None
    mine = select(Follow.follower_id).where(
        Follow.follower_id == actor.user_id, Follow.namespace_id == namespace.id
    )
    followers, following, members_count, follows = db.execute(
        select(
            _followers(namespace).scalar_subquery(),
            _following(namespace).scalar_subquery(),
            _members(namespace.id).scalar_subquery(),
            mine.exists(),
        )
    ).one()
    return Profile(
        namespace_id=namespace.id,
        kind=namespace.kind,
        name=namespace.name,
        fullname=namespace.fullname or namespace.name,
        details=namespace.details,
        website=namespace.website,
        avatar_url=avatar_url(namespace),
        created_at=namespace.created_at,
        followers_count=followers,
        following_count=following,
        is_following=follows,
        is_self=actor.user_id == namespace.id,
        can_edit=editable,
        settings_href=own_settings or org_settings,
        organizations=[
            card_of(membership.organization.namespace, membership.role)
            for membership in (list_memberships(db, namespace.id) if is_user else [])
        ],
        members=[] if is_user else list_members(db, namespace.id, limit=30).items,
        members_count=members_count,
    )


def _followers(namespace: Namespace) -> Select[int]:
    return (
        select(func.count())
        .select_from(Follow)
        .join(User, User.id == Follow.follower_id)
        .where(Follow.namespace_id == namespace.id, User.disabled_at.is_(None))
    )


def _following(namespace: Namespace) -> Select[int]:
    return (
        select(func.count())
        .select_from(Follow)
        .join(User, User.id == Follow.namespace_id)
        .where(Follow.follower_id == namespace.id, User.disabled_at.is_(None))
    )


def _members(org_id: int) -> Select[int]:
    return (
        select(func.count())
        .select_from(Membership)
        .join(User, User.id == Membership.user_id)
        .where(Membership.org_id == org_id, User.disabled_at.is_(None))
    )


def count_followers(db: Session, namespace: Namespace) -> int:
    return db.scalar(_followers(namespace)) or 0


def count_following(db: Session, namespace: Namespace) -> int:
    return db.scalar(_following(namespace)) or 0


def count_members(db: Session, org_id: int) -> int:
    return db.scalar(_members(org_id)) or 0


def is_following(db: Session, actor: Actor, namespace: Namespace) -> bool:
    return actor.user_id is not None and db.get(Follow, (actor.user_id, namespace.id)) is not None


def list_memberships(db: Session, user_id: int) -> list[Membership]:
    """The organisations of a person, by name."""
    statement = (
        select(Membership)
        .join(Namespace, Namespace.id == Membership.org_id)
        .where(Membership.user_id == user_id)
        .order_by(Namespace.name_key)
    )
    return list(db.scalars(statement))


def list_members(
    db: Session, org_id: int, *, limit: int | None = None, cursor: str | None = None
) -> Page[NamespaceCard]:
    """Members of an organisation who are not disabled, with their roles, in order of joining the site."""
    statement = (
        select(Membership)
        .join(User, User.id == Membership.user_id)
        .where(Membership.org_id == org_id, User.disabled_at.is_(None))
    )
    return _page(
        db,
        statement,
        Membership.user_id,
        limit=limit,
        cursor=cursor,
        item_of=lambda row: (row.user_id, card_of(row.user.namespace, row.role)),
    )


def list_followers(
    db: Session, namespace: Namespace, *, limit: int | None = None, cursor: str | None = None
) -> Page[NamespaceCard]:
    """The people who follow a person or organisation."""
    statement = (
        select(User)
        .join(Follow, Follow.follower_id == User.id)
        .where(Follow.namespace_id == namespace.id, User.disabled_at.is_(None))
    )
    return _page(
        db,
        statement,
        User.id,
        limit=limit,
        cursor=cursor,
        item_of=lambda user: (user.id, card_of(user.namespace)),
    )


def list_following(
    db: Session, user: User, *, limit: int | None = None, cursor: str | None = None
) -> Page[NamespaceCard]:
    """The people (not organisations) a person follows."""
    statement = (
        select(User)
        .join(Follow, Follow.namespace_id == User.id)
        .where(Follow.follower_id == user.id, User.disabled_at.is_(None))
    )
    return _page(
        db,
        statement,
        User.id,
        limit=limit,
        cursor=cursor,
        item_of=lambda found: (found.id, card_of(found.namespace)),
    )


def list_users(
    db: Session, *, query: str = "", limit: int | None = None, cursor: str | None = None
) -> Page[User]:
    """All people, also disabled ones, for administrators; `query` is part of a name or address."""
    statement = select(User).join(Namespace, Namespace.id == User.id)
    if query:
        part = f"%{_like(query)}%"
        statement = statement.where(
            or_(Namespace.name_key.like(part, escape="\\"), User.email_key.like(part, escape="\\"))
        )
    return _page(db, statement, User.id, limit=limit, cursor=cursor, item_of=lambda user: (user.id, user))


def list_organizations(
    db: Session, *, limit: int | None = None, cursor: str | None = None
) -> Page[Organization]:
    """All organisations, for administrators."""
    return _page(
        db,
        select(Organization),
        Organization.id,
        limit=limit,
        cursor=cursor,
        item_of=lambda org: (org.id, org),
    )


def list_audit(
    db: Session, *, action: str = "", who: str = "", cursor: str | None = None, limit: int | None = None
) -> Page[AuditEvent]:
    """The audit trail, newest first; `action` is the beginning of its name, `who` a whole name."""
    size = check_limit(limit, default=PAGE_SIZE, maximum=MAX_PAGE_SIZE)
    statement = select(AuditEvent)
    if action:
        statement = statement.where(AuditEvent.action.startswith(action, autoescape=True))
    if who:
        person = select(Namespace.id).where(Namespace.name_key == name_key(who)).scalar_subquery()
        statement = statement.where((AuditEvent.actor_id == person) | (AuditEvent.actor_name == who))
    after = decode_cursor(cursor, 1)
    if after is not None:
        if not isinstance(after[0], int) or not 0 <= after[0] < 2**62:
            raise BadRequest(lazy("cursor is not one this server gave out: leave it out to start."))
        statement = statement.where(AuditEvent.id < after[0])
    found = list(db.scalars(statement.order_by(AuditEvent.id.desc()).limit(size + 1)))
    return make_page(found, size, lambda row: [row.id])


def get_user_by_login(db: Session, login: str) -> User | None:
    """The person with that name or mail address, in any case."""
    if "\0" in login:
        return None
    key = name_key(login.strip())
    condition = User.email_key == key if "@" in key else Namespace.name_key == key
    return db.scalar(select(User).join(Namespace, Namespace.id == User.id).where(condition))


def has_admin(db: Session) -> bool:
    """Whether some administrator can sign in."""
    return bool(db.scalar(select(exists().where(User.is_admin.is_(True), User.disabled_at.is_(None)))))


def _like(text: str) -> str:
    return text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _page(
    db: Session,
    statement: Select[Any],
    column: Any,
    *,
    limit: int | None,
    cursor: str | None,
    item_of: Callable[[Any], tuple[int, T]],
) -> Page[T]:
    size = check_limit(limit, default=PAGE_SIZE, maximum=MAX_PAGE_SIZE)
    after = decode_cursor(cursor, 1)
    if after is not None:
        if not isinstance(after[0], int) or not 0 <= after[0] < 2**62:
            raise BadRequest(lazy("cursor is not one this server gave out: leave it out to start."))
        statement = statement.where(column > after[0])
    rows = [item_of(row) for row in db.scalars(statement.order_by(column).limit(size + 1))]
    return make_page(rows, size, lambda row: [row[0]]).map(lambda row: row[1])
