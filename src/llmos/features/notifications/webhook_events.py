"""Outbox handlers that line up deliveries: one row for each webhook that watches, once an event."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.ids import new_object_id
from llmos.core.names import name_key
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.auth.credentials import actor_for_user
from llmos.features.discussions.models import MERGED, Comment, Thread
from llmos.features.discussions.policy import can_see
from llmos.features.notifications.models import Webhook, WebhookDelivery, WebhookWatch
from llmos.features.notifications.webhook_delivery import switch_off
from llmos.features.notifications.webhook_payloads import (
    Json,
    comment_json,
    discussion_json,
    live_repo_json,
    repo_json,
)
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import can_read, role_in
from llmos.infra.db.upsert import insert_missing
from llmos.infra.queue.outbox import on
from llmos.infra.settings import get_settings
from llmos.infra.web.urls import site_url

Payload = dict[str, Any]
MAX_PENDING = 1000


@dataclass(frozen=True, slots=True)
class _Event:
    """`targets` are object ids of the repository and its owner; `may_know` decides for a webhook's owner."""

    scope: str
    action: str
    key: str
    targets: Iterable[str]
    body: Json
    may_know: Callable[[Actor], bool]

    @property
    def domain(self) -> str:
        return self.scope.partition(".")[0]


def _line_up(db: Session, event: _Event) -> None:
    statement = (
        select(Webhook)
        .where(
            Webhook.id.in_(
                select(WebhookWatch.webhook_id).where(WebhookWatch.target.in_(list(event.targets)))
            ),
            Webhook.disabled_at.is_(None),
        )
        .order_by(Webhook.id)
    )
    for webhook in db.scalars(statement).unique().all():
        if event.domain not in webhook.domains or webhook.user.disabled_at is not None:
            continue
        if not event.may_know(actor_for_user(db, webhook.user)):
            continue
        if _is_full(db, webhook):
            switch_off(db, webhook, "webhook.full", f"{webhook.object_id}:{event.key}")
            continue
        body = event.body | {
            "event": {"action": event.action, "scope": event.scope},
            "webhook": {"id": webhook.object_id, "version": 3},
        }
        now = clock.now()
        row = {
            "object_id": new_object_id(),
            "webhook_id": webhook.id,
            "event_key": event.key,
            "event": f"{event.scope}.{event.action}",
            "body": orjson.dumps(body),
            "status": "pending",
            "attempts": 0,
            "next_at": now,
            "created_at": now,
            "response_excerpt": "",
            "error": "",
        }
        insert_missing(db, WebhookDelivery, [row])


def _is_full(db: Session, webhook: Webhook) -> bool:
    waiting = select(func.count()).where(
        WebhookDelivery.webhook_id == webhook.id, WebhookDelivery.status == "pending"
    )
    return (db.scalar(waiting) or 0) >= MAX_PENDING


def _site() -> str:
    return site_url(get_settings())


def _repo(db: Session, payload: Payload) -> Repo | None:
    """The repository, if the id is still its own and not that of a later one."""
    repo = db.get(Repo, payload["repo_id"])
    known = payload.get("object_id")
    return repo if repo is not None and known in (None, repo.object_id) else None


def _repo_event(db: Session, payload: Payload, scope: str, action: str, **more: Any) -> None:
    repo = _repo(db, payload)
    if repo is None:
        return
    event = _Event(
        scope=scope,
        action=action,
        key=payload["event_key"],
        targets=(repo.object_id, repo.namespace.object_id),
        body={"repo": live_repo_json(_site(), repo, with_content=True), **more},
        may_know=lambda actor: can_read(actor, repo),
    )
    _line_up(db, event)


@on("RepoCreated")
@on("RepoRestored")
def repo_created(db: Session, payload: Payload) -> None:
    _repo_event(db, payload, "repo", "create")


@on("RepoPushed")
def repo_pushed(db: Session, payload: Payload) -> None:
    refs = [
        {"ref": item["ref"], "oldSha": item["old_oid"], "newSha": item["new_oid"]}
        for item in payload["updates"]
    ]
    _repo_event(db, payload, "repo.content", "update", updatedRefs=refs)


@on("RepoSettingsChanged")
def repo_settings_changed(db: Session, payload: Payload) -> None:
    config = {}
    if "visibility" in payload["changes"]:
        config = {"private": payload["changes"]["visibility"][1] == "private"}
    _repo_event(db, payload, "repo.config", "update", updatedConfig=config)


@on("RepoMoved")
def repo_moved(db: Session, payload: Payload) -> None:
    repo = _repo(db, payload)
    if repo is None:
        return
    old_owner = _namespace(db, payload["old_name"])
    owner_id = old_owner.object_id if old_owner else repo.namespace.object_id
    body = live_repo_json(_site(), repo, with_content=True)
    body |= repo_json(_site(), repo.type, payload["old_name"], repo.object_id, owner_id)
    body["private"] = repo.is_private
    moved = {"name": repo.repo_name, "owner": {"id": repo.namespace.object_id}}
    event = _Event(
        scope="repo",
        action="move",
        key=payload["event_key"],
        targets={repo.object_id, repo.namespace.object_id, owner_id},
        body={"repo": body, "movedTo": moved},
        may_know=lambda actor: can_read(actor, repo),
    )
    _line_up(db, event)


@on("RepoDeleted")
def repo_deleted(db: Session, payload: Payload) -> None:
    owner = _namespace(db, payload["repo_name"])
    if owner is None:
        return
    is_private = payload["visibility"] == "private"
    body = repo_json(_site(), payload["type"], payload["repo_name"], payload["object_id"], owner.object_id)
    body["private"] = is_private
    event = _Event(
        scope="repo",
        action="delete",
        key=payload["event_key"],
        targets=(payload["object_id"], owner.object_id),
        body={"repo": body},
        may_know=lambda actor: not is_private or role_in(actor, owner) is not None,
    )
    _line_up(db, event)


def _namespace(db: Session, repo_name: str) -> Namespace | None:
    key = name_key(repo_name.partition("/")[0])
    return db.scalar(select(Namespace).where(Namespace.name_key == key))


def _thread_event(db: Session, payload: Payload, scope: str, action: str) -> None:
    thread = db.get(Thread, payload["thread_id"])
    if thread is None or thread.repo is None:
        return
    repo = thread.repo
    body: Json = {
        "repo": live_repo_json(_site(), repo, with_content=False),
        "discussion": discussion_json(db, _site(), thread),
    }
    comment = db.get(Comment, payload["comment_id"]) if payload.get("comment_id") else None
    if comment is not None:
        body["comment"] = comment_json(db, _site(), thread, comment)
    event = _Event(
        scope=scope,
        action=action,
        key=payload["event_key"],
        targets=(repo.object_id, repo.namespace.object_id),
        body=body,
        may_know=lambda actor: can_see(db, actor, thread),
    )
    _line_up(db, event)


@on("ThreadOpened")
def thread_opened(db: Session, payload: Payload) -> None:
    _thread_event(db, payload, "discussion", "create")


@on("CommentPosted")
def comment_posted(db: Session, payload: Payload) -> None:
    _thread_event(db, payload, "discussion.comment", "create")


@on("CommentEdited")
@on("CommentHidden")
def comment_changed(db: Session, payload: Payload) -> None:
    _thread_event(db, payload, "discussion.comment", "update")


@on("ThreadStatusChanged")
def thread_status_changed(db: Session, payload: Payload) -> None:
    if payload["new"] != MERGED:
        _thread_event(db, payload, "discussion", "update")


@on("ThreadRenamed")
@on("PullMerged")
def thread_changed(db: Session, payload: Payload) -> None:
    _thread_event(db, payload, "discussion", "update")
