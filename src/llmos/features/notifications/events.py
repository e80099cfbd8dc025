"""Outbox handlers: who is told of what. Each may run twice; `notify` tells everybody once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.features.accounts.models import Follow, Membership, Namespace, User
from llmos.features.auth.credentials import actor_for_user
from llmos.features.discussions.hrefs import repo_href, thread_href
from llmos.features.discussions.models import MERGED, Comment, Thread
from llmos.features.discussions.policy import can_see
from llmos.features.notifications import reasons
from llmos.features.notifications.mentions import mentioned_people
from llmos.features.notifications.models import Notification
from llmos.features.notifications.service import News, notify
from llmos.features.notifications.watching import listeners, note_part
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import can_read
from llmos.infra.queue.outbox import on

Payload = dict[str, Any]
MAX_FOLLOWERS = 2000


def _thread(db: Session, payload: Payload) -> Thread | None:
    return db.get(Thread, payload["thread_id"])


def _comment(db: Session, payload: Payload) -> Comment | None:
    comment_id = payload.get("comment_id")
    return db.get(Comment, comment_id) if comment_id else None


def _who_may_see(db: Session, thread: Thread, people: dict[int, str]) -> dict[int, str]:
    """Without those the thread is hidden from: of a private repository, or by moderation."""
    is_open = thread.hidden_at is None and (thread.repo is None or not thread.repo.is_private)
    if is_open:
        return people
    users = db.scalars(select(User).where(User.id.in_(people))).unique()
    return {user.id: people[user.id] for user in users if can_see(db, actor_for_user(db, user), thread)}


def _tell_thread(
    db: Session,
    thread: Thread,
    kind: str,
    payload: Payload,
    *,
    comment: Comment | None = None,
    mentioned: set[int] | None = None,
    event_key: str | None = None,
    special: dict[int, str] | None = None,
    is_personal: bool = False,
    **data: Any,
) -> None:
    """Tell everybody who hears of the thread; the strongest reason is the one they are given.

    `is_personal`: only whom it speaks to. A review is one piece of news, not one for each of its lines.
    """
    heard = listeners(db, thread)
    people: dict[int, str] = {}
    if not is_personal:
        people = dict.fromkeys(heard.repo, reasons.WATCHING)
        people |= dict.fromkeys(heard.thread, reasons.REPLY)
    if thread.author_id is not None and thread.author_id in people:
        people[thread.author_id] = reasons.AUTHOR
    people |= dict.fromkeys(mentioned or (), reasons.MENTION)
    people |= special or {}
    for user_id in heard.muted:
        people.pop(user_id, None)
    news = News(
        kind=kind,
        event_key=event_key or payload["event_key"],
        title=thread.title,
        href=thread_href(thread, comment),
        actor_id=payload.get("actor_id"),
        repo_id=thread.repo_id,
        thread_id=thread.id,
        comment_id=comment.id if comment else None,
        data=data,
    )
    notify(db, _who_may_see(db, thread, people), news)


@on("ThreadOpened")
def thread_opened(db: Session, payload: Payload) -> None:
    thread, comment = _thread(db, payload), _comment(db, payload)
    if thread is None:
        return
    mentioned = mentioned_people(db, thread.author_id, comment.text) if comment else set()
    special = {}
    if thread.repo_id is None and thread.author_id and thread.hidden_at is None:
        special = dict.fromkeys(_followers(db, thread.author_id), reasons.FOLLOW)
        special |= dict.fromkeys(mentioned, reasons.MENTION)
    key = f"comment:{comment.public_id}" if comment else None
    _tell_thread(
        db, thread, f"opened.{thread.kind}", payload,
        comment=comment, mentioned=mentioned, event_key=key, special=special,
    )  # fmt: skip
    note_part(db, thread.id, {*mentioned, *([thread.author_id] if thread.author_id else [])})


@on("CommentPosted")
def comment_posted(db: Session, payload: Payload) -> None:
    thread, comment = _thread(db, payload), _comment(db, payload)
    if thread is None or comment is None or comment.hidden_at is not None:
        return
    mentioned = mentioned_people(db, comment.author_id, comment.text)
    special: dict[int, str] = {}
    answered = db.get(Comment, comment.reply_to_id) if comment.reply_to_id else None
    if answered is not None and answered.author_id is not None and answered.author_id not in mentioned:
        special[answered.author_id] = reasons.REPLY
    _tell_thread(
        db, thread, "comment", payload, is_personal=comment.review_id is not None,
        comment=comment, mentioned=mentioned, event_key=f"comment:{comment.public_id}", special=special,
    )  # fmt: skip
    note_part(db, thread.id, {*mentioned, *([comment.author_id] if comment.author_id else [])})


@on("CommentEdited")
def comment_edited(db: Session, payload: Payload) -> None:
    """Only who is newly mentioned: everybody else has heard of the comment under the same key."""
    thread, comment = _thread(db, payload), _comment(db, payload)
    if thread is None or comment is None or comment.hidden_at is not None:
        return
    mentioned = mentioned_people(db, comment.author_id, comment.text)
    muted = listeners(db, thread).muted
    people = _who_may_see(db, thread, dict.fromkeys(mentioned - muted, reasons.MENTION))
    news = News(
        kind="comment",
        event_key=f"comment:{comment.public_id}",
        title=thread.title,
        href=thread_href(thread, comment),
        actor_id=comment.author_id,
        repo_id=thread.repo_id,
        thread_id=thread.id,
        comment_id=comment.id,
    )
    notify(db, people, news)
    note_part(db, thread.id, mentioned)


@on("ThreadStatusChanged")
def status_changed(db: Session, payload: Payload) -> None:
    thread, new = _thread(db, payload), payload["new"]
    # A merge has news of its own.
    if thread is not None and new != MERGED:
        _tell_thread(db, thread, f"status.{new}", payload)


@on("PullMerged")
def pull_merged(db: Session, payload: Payload) -> None:
    thread = _thread(db, payload)
    if thread is not None:
        _tell_thread(db, thread, "status.merged", payload)


@on("ReviewSubmitted")
def review_submitted(db: Session, payload: Payload) -> None:
    thread = _thread(db, payload)
    if thread is None:
        return
    own = select(Comment).where(Comment.review_id == payload["review_id"], Comment.path.is_(None))
    text = db.scalars(own.order_by(Comment.id)).first()
    _tell_thread(db, thread, f"review.{payload['verdict']}", payload, comment=text)
    if payload.get("actor_id"):
        note_part(db, thread.id, [payload["actor_id"]])


@on("AnswerAccepted")
def answer_accepted(db: Session, payload: Payload) -> None:
    thread, comment = _thread(db, payload), _comment(db, payload)
    if thread is None or comment is None or comment.author_id is None:
        return
    special = {comment.author_id: reasons.ANSWER}
    _tell_thread(
        db, thread, "answer", payload,
        comment=comment, event_key=f"answer:{comment.public_id}", special=special,
    )  # fmt: skip


@on("UserFollowed")
def user_followed(db: Session, payload: Payload) -> None:
    follower = db.get(Namespace, payload["follower_id"])
    followed = db.get(User, payload["namespace_id"])
    if follower is None or followed is None:
        return
    # Following, leaving and following again is news only once.
    key = f"followed:{follower.object_id}"
    news = News("followed", key, follower.name, f"/{follower.name}", actor_id=follower.id)
    notify(db, {followed.id: reasons.FOLLOW}, news)


def _followers(db: Session, namespace_id: int) -> list[int]:
    statement = select(Follow.follower_id).where(Follow.namespace_id == namespace_id)
    return list(db.scalars(statement.order_by(Follow.created_at).limit(MAX_FOLLOWERS)))


@on("RepoCreated")
def repo_created(db: Session, payload: Payload) -> None:
    repo = db.get(Repo, payload["repo_id"])
    if repo is None or repo.object_id != payload.get("object_id") or repo.is_private:
        return
    news = News(
        kind=f"repo.{repo.type}",
        event_key=f"repo:{repo.object_id}",
        title=repo.repo_name,
        href=repo_href(repo),
        actor_id=payload.get("actor_id"),
        repo_id=repo.id,
    )
    notify(db, dict.fromkeys(_followers(db, repo.namespace_id), reasons.FOLLOW), news)


@on("RepoSettingsChanged")
@on("RepoMoved")
def visibility_changed(db: Session, payload: Payload) -> None:
    """Take news of a repository that is private now from those who may no longer see it."""
    repo = db.get(Repo, payload["repo_id"])
    if repo is None or not repo.is_private:
        return
    told = select(Notification.user_id).where(Notification.repo_id == repo.id).distinct()
    users = db.scalars(select(User).where(User.id.in_(told))).unique().all()
    blind = [user.id for user in users if not can_read(actor_for_user(db, user), repo)]
    db.execute(delete(Notification).where(Notification.repo_id == repo.id, Notification.user_id.in_(blind)))


@on("AccessRequested")
def access_requested(db: Session, payload: Payload) -> None:
    repo = db.get(Repo, payload["repo_id"])
    if repo is None or payload.get("status") != "pending":
        return
    news = News(
        kind="access.asked",
        event_key=f"access:{payload['event_key']}",
        title=repo.repo_name,
        href=f"{repo_href(repo)}/settings",
        actor_id=payload["user_id"],
        repo_id=repo.id,
    )
    notify(db, dict.fromkeys(_admins(db, repo), reasons.ACCESS), news)


def _admins(db: Session, repo: Repo) -> set[int]:
    if repo.namespace.kind == "user":
        return {repo.namespace_id}
    statement = select(Membership.user_id).where(
        Membership.org_id == repo.namespace_id, Membership.role == "admin"
    )
    return set(db.scalars(statement))


@on("AccessHandled")
def access_handled(db: Session, payload: Payload) -> None:
    repo = db.get(Repo, payload["repo_id"])
    if repo is None or payload["status"] not in ("accepted", "rejected") or repo.is_private:
        return
    news = News(
        kind=f"access.{payload['status']}",
        event_key=f"access:{payload['event_key']}",
        title=repo.repo_name,
        href=repo_href(repo),
        repo_id=repo.id,
        data={"text": payload.get("reason") or ""},
    )
    notify(db, {payload["user_id"]: reasons.ACCESS}, news)
