"""Keeping conversations of signed-in people, and sharing them as they are by a link."""

from __future__ import annotations

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, NotFound, Unauthenticated
from llmos.core.pagination import Page, decode_cursor, make_page
from llmos.features.accounts.actor import Actor
from llmos.features.playground.models import PlaygroundChat, PlaygroundShare
from llmos.features.playground.schemas import Talk
from llmos.infra.i18n import lazy

MAX_CHATS = 500
MAX_SHARES = 200
MAX_TITLE_CHARS = 200
PAGE_SIZE = 30


def _person(actor: Actor) -> int:
    if actor.user_id is None:
        raise Unauthenticated(lazy("Sign in to keep and share conversations."))
    return actor.user_id


def access_chat(db: Session, actor: Actor, object_id: str) -> PlaygroundChat:
    """A conversation of the actor's own. Raises NotFound, also for those of others."""
    wanted = select(PlaygroundChat).where(
        PlaygroundChat.object_id == object_id, PlaygroundChat.user_id == (actor.user_id or 0)
    )
    chat = db.scalars(wanted).one_or_none()
    if chat is None:
        raise NotFound(lazy("There is no such conversation, or it was deleted."))
    return chat


def keep_chat(db: Session, actor: Actor, talk: Talk, object_id: str = "") -> PlaygroundChat:
    """Keep a conversation, or what it has become; the oldest make room beyond MAX_CHATS."""
    user_id = _person(actor)
    if not talk.turns:
        raise BadRequest(lazy("There is nothing to keep yet: write to the model first."))
    if object_id:
        chat = access_chat(db, actor, object_id)
        chat.talk = talk.model_dump(mode="json")
        chat.changed_at = clock.now()
        return chat
    title = talk.title() or talk.models[0]
    chat = PlaygroundChat(user_id=user_id, title=title, talk=talk.model_dump(mode="json"))
    db.add(chat)
    db.flush()
    _drop_oldest(db, user_id)
    return chat


def _drop_oldest(db: Session, user_id: int) -> None:
    mine = select(PlaygroundChat.id).where(PlaygroundChat.user_id == user_id)
    kept = mine.order_by(PlaygroundChat.changed_at.desc(), PlaygroundChat.id.desc())
    too_old = list(db.scalars(kept.offset(MAX_CHATS).limit(100)))
    if too_old:
        db.execute(delete(PlaygroundChat).where(PlaygroundChat.id.in_(too_old)))


def list_chats(
    db: Session, actor: Actor, *, limit: int = PAGE_SIZE, cursor: str | None = None
) -> Page[PlaygroundChat]:
    """The actor's conversations, the latest first; none for visitors."""
    mine = select(PlaygroundChat).where(PlaygroundChat.user_id == (actor.user_id or 0))
    after = decode_cursor(cursor, 1)
    if after is not None:
        # Conversations change while one reads on, so pages go by when they began.
        mine = mine.where(PlaygroundChat.id < _number(after[0]))
    rows = list(db.scalars(mine.order_by(PlaygroundChat.id.desc()).limit(limit + 1)))
    return make_page(rows, limit, lambda row: [row.id])


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise BadRequest(lazy("cursor is not one this server gave out: leave it out to start."))
    return value


def recent_chats(db: Session, actor: Actor, limit: int) -> list[PlaygroundChat]:
    """Those the actor last wrote in."""
    if actor.user_id is None:
        return []
    mine = select(PlaygroundChat).where(PlaygroundChat.user_id == actor.user_id)
    return list(
        db.scalars(mine.order_by(PlaygroundChat.changed_at.desc(), PlaygroundChat.id.desc()).limit(limit))
    )


def rename_chat(db: Session, actor: Actor, object_id: str, title: str) -> PlaygroundChat:
    """Give a conversation another title. Raises BadRequest for an empty or a long one."""
    _person(actor)
    chat = access_chat(db, actor, object_id)
    title = " ".join(title.split())
    if not title or len(title) > MAX_TITLE_CHARS:
        raise BadRequest(
            lazy("title must have 1 to %(limit)s characters.", limit=MAX_TITLE_CHARS),
            data={"field": "title"},
        )
    chat.title = title
    return chat


def delete_chat(db: Session, actor: Actor, object_id: str) -> None:
    """Delete a conversation for good; links to what it was stay until they are revoked."""
    _person(actor)
    db.delete(access_chat(db, actor, object_id))


def share_talk(db: Session, actor: Actor, talk: Talk, title: str = "") -> PlaygroundShare:
    """A public, read-only copy of a conversation behind an address nobody can guess.

    Raises Unauthenticated, BadRequest where nothing was said, Conflict beyond MAX_SHARES links.
    """
    user_id = _person(actor)
    if not talk.turns:
        raise BadRequest(lazy("There is nothing to share yet: write to the model first."))
    count = select(func.count()).select_from(PlaygroundShare).where(PlaygroundShare.user_id == user_id)
    if (db.scalar(count) or 0) >= MAX_SHARES:
        raise Conflict(
            lazy("You have %(limit)s links to conversations: revoke some first.", limit=MAX_SHARES)
        )
    name = " ".join(title.split())[:MAX_TITLE_CHARS] or talk.title() or talk.models[0]
    share = PlaygroundShare(user_id=user_id, title=name, talk=talk.model_dump(mode="json"))
    db.add(share)
    db.flush()
    return share


def access_share(db: Session, secret: str) -> PlaygroundShare:
    """What a link shows. Raises NotFound for one that was never made or was revoked."""
    share = db.scalars(select(PlaygroundShare).where(PlaygroundShare.secret == secret)).one_or_none()
    if share is None:
        raise NotFound(lazy("There is no such conversation: its link may have been revoked."))
    return share


def list_shares(db: Session, actor: Actor) -> list[PlaygroundShare]:
    """The actor's links, the latest first."""
    mine = select(PlaygroundShare).where(PlaygroundShare.user_id == (actor.user_id or 0))
    return list(db.scalars(mine.order_by(PlaygroundShare.id.desc()).limit(MAX_SHARES)).unique())


def revoke_share(db: Session, actor: Actor, secret: str) -> None:
    """From now on the link shows nothing. Administrators may revoke those of others."""
    _person(actor)
    share = access_share(db, secret)
    if share.user_id != actor.user_id and not actor.is_admin:
        raise NotFound(lazy("There is no such conversation: its link may have been revoked."))
    db.delete(share)
