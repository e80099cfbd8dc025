"""A person's data as one zip of JSON files, made by the worker."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import NotFound
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.audit import record
from llmos.features.accounts.models import AuditEvent, Follow, Membership, Namespace, User
from llmos.features.auth.models import AccessToken, BrowserSession
from llmos.features.collections.models import Collection
from llmos.features.discussions.forum_models import Bookmark, Draft, PollVote
from llmos.features.discussions.models import Comment, Reaction, ReviewNote, Thread, Upload
from llmos.features.jobs.models import Job, Runner, RunnerCredit, Schedule
from llmos.features.moderation.models import Appeal, Flag, Measure
from llmos.features.notifications.models import (
    NamespaceWatch,
    Notification,
    NotificationSettings,
    RepoWatch,
    Webhook,
)
from llmos.features.playground.models import PlaygroundChat, PlaygroundShare
from llmos.features.repos.models import Repo, RepoLike
from llmos.features.rights.models import DataExport
from llmos.infra.blobs.durable import write_file
from llmos.infra.db.base import Base
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

KEPT_DAYS = 7
# Columns that are no information about the person, or that nobody should carry around.
_SECRET = frozenset(
    {
        "password_hash",
        "secret_hash",
        "token_hash",
        "hash",
        "avatar_key",
        "sealed_secrets",
        "email_key",
        "name_key",
        "secret",
    }
)


def request_export(db: Session, actor: Actor) -> DataExport:
    """Ask for a copy; one that is being made already is answered again. Suspended people may."""
    actor.check_whole_token()
    user_id = actor.require_user()
    waiting = select(DataExport).where(DataExport.user_id == user_id, DataExport.ready_at.is_(None))
    found = db.scalars(waiting).first()
    if found is None:
        found = DataExport(user_id=user_id)
        db.add(found)
        record(db, actor, "data.export", actor.name)
        db.flush()
    return found


def list_exports(db: Session, actor: Actor) -> list[DataExport]:
    statement = select(DataExport).where(DataExport.user_id == actor.require_user())
    return list(db.scalars(statement.order_by(DataExport.id.desc()).limit(10)))


def access_export(db: Session, rt: Runtime, actor: Actor, object_id: str) -> Path:
    """The file of one's own, finished, unexpired export. Raises NotFound."""
    statement = select(DataExport).where(
        DataExport.object_id == object_id, DataExport.user_id == actor.require_user()
    )
    export = db.scalars(statement).first()
    if export is None or export.expires_at is None or export.expires_at < clock.now():
        raise NotFound(lazy("There is no such copy (any more): ask for a new one."))
    return _path(rt, object_id)


def _path(rt: Runtime, object_id: str) -> Path:
    return rt.settings.home / "exports" / f"{object_id}.zip"


def make_exports(rt: Runtime) -> None:
    """Worker task: make what was asked for, drop what expired. A quiet instance only reads."""
    with rt.database.reading() as db:
        waiting = list(db.execute(select(DataExport.id, DataExport.object_id, DataExport.user_id).where(
            DataExport.ready_at.is_(None)
        )))  # fmt: skip
        expired = list(
            db.execute(select(DataExport.id, DataExport.object_id).where(DataExport.expires_at < clock.now()))
        )
    for export_id, object_id, user_id in waiting:
        with rt.database.reading() as db:
            data = pack(collect_data(db, user_id))
        write_file(_path(rt, object_id), data, tmp_root=rt.settings.tmp_root)
        with rt.database.writing() as db:
            export = db.get(DataExport, export_id)
            if export is not None:
                export.ready_at, export.size_bytes = clock.now(), len(data)
                export.expires_at = clock.now() + timedelta(days=KEPT_DAYS)
    for export_id, object_id in expired:
        _path(rt, object_id).unlink(missing_ok=True)
        with rt.database.writing() as db:
            db.execute(delete(DataExport).where(DataExport.id == export_id))


def collect_data(db: Session, user_id: int) -> dict[str, Any]:
    """File name -> what stands in it. Secrets are left out; so is what others wrote."""
    user = db.get_one(User, user_id)
    files: dict[str, Any] = {"account": _row(user.namespace) | _row(user)}
    for name, (table, condition) in _tables(user_id, user.name).items():
        files[name] = _rows(db.scalars(select(table).where(condition)).unique())
    files["repositories"] = [
        {
            "type": repo.type,
            "name": repo.repo_name,
            "visibility": repo.visibility,
            "created_at": repo.created_at,
        }
        for repo in db.scalars(select(Repo).where(Repo.namespace_id == user_id)).unique()
    ]
    files["likes"] = _likes(db, user_id)
    files["decisions_about_me"] = _decisions(db, user_id)
    return files


def _tables(user_id: int, name: str) -> dict[str, tuple[type[Base], Any]]:
    """File name -> table, and which of its rows are the person's."""
    return {
        "threads": (Thread, Thread.author_id == user_id),
        "comments": (Comment, Comment.author_id == user_id),
        "reactions": (Reaction, Reaction.user_id == user_id),
        "bookmarks": (Bookmark, Bookmark.user_id == user_id),
        "drafts": (Draft, Draft.user_id == user_id),
        "review_notes": (ReviewNote, ReviewNote.author_id == user_id),
        "uploads": (Upload, Upload.user_id == user_id),
        "poll_votes": (PollVote, PollVote.user_id == user_id),
        "follows": (Follow, or_(Follow.follower_id == user_id, Follow.namespace_id == user_id)),
        "memberships": (Membership, Membership.user_id == user_id),
        "collections": (Collection, Collection.namespace_id == user_id),
        "tokens": (AccessToken, AccessToken.user_id == user_id),
        "jobs": (Job, Job.creator_id == user_id),
        "job_schedules": (Schedule, Schedule.creator_id == user_id),
        "runners": (Runner, Runner.owner_id == user_id),
        "machine_time_given": (RunnerCredit, RunnerCredit.user_id == user_id),
        "playground_conversations": (PlaygroundChat, PlaygroundChat.user_id == user_id),
        "playground_links": (PlaygroundShare, PlaygroundShare.user_id == user_id),
        "sessions": (BrowserSession, BrowserSession.user_id == user_id),
        "mail_settings": (NotificationSettings, NotificationSettings.user_id == user_id),
        "notifications": (Notification, Notification.user_id == user_id),
        "watched_repositories": (RepoWatch, RepoWatch.user_id == user_id),
        "watched_people": (NamespaceWatch, NamespaceWatch.user_id == user_id),
        "webhooks": (Webhook, Webhook.user_id == user_id),
        "reports_made": (Flag, Flag.reporter_id == user_id),
        "appeals": (Appeal, Appeal.user_id == user_id),
        "audit": (
            AuditEvent,
            or_(AuditEvent.actor_id == user_id, AuditEvent.subject == name),
        ),
    }


def _likes(db: Session, user_id: int) -> list[dict[str, Any]]:
    statement = (
        select(Repo.type, Namespace.name, Repo.name, RepoLike.created_at)
        .select_from(RepoLike)
        .join(Repo, Repo.id == RepoLike.repo_id)
        .join(Namespace, Namespace.id == Repo.namespace_id)
        .where(RepoLike.user_id == user_id)
    )
    return [
        {"type": kind, "name": f"{owner}/{name}", "liked_at": at}
        for kind, owner, name, at in db.execute(statement)
    ]


def _decisions(db: Session, user_id: int) -> list[dict[str, Any]]:
    """What moderators decided; without who did: that is for moderators alone."""
    return [
        {
            "verb": measure.verb,
            "reason": measure.reason,
            "created_at": measure.created_at,
            "undone_at": measure.undone_at,
        }
        for measure in db.scalars(select(Measure).where(Measure.user_id == user_id)).unique()
    ]


def _rows(found: Iterable[Base]) -> list[dict[str, Any]]:
    return [_row(row) for row in found]


def _row(row: Base) -> dict[str, Any]:
    names = [column.key for column in row.__mapper__.column_attrs]
    return {name: getattr(row, name) for name in names if name not in _SECRET and not name.endswith("_hash")}


def pack(files: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in files.items():
            archive.writestr(f"{name}.json", orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str))
    return buffer.getvalue()
