"""Removing uploads that no text shows: pictures of comments never sent, edited away or erased.

A text shows an upload if its address stands in a comment, an earlier version of one, or a draft.
Other places (a card, say) do not keep it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.discussions.forum_models import Draft
from llmos.features.discussions.models import Comment, CommentVersion, Upload
from llmos.features.discussions.uploads import upload_key
from llmos.infra.runtime import Runtime

_ADDRESS = re.compile(r"/-/uploads/([0-9a-f]{64})\.")
_MARK = "%/-/uploads/%"
# At one go, so that nobody waits long for the write lock.
_MAX_AT_ONCE = 500


def list_uploads_of(db: Session, user_id: int) -> set[str]:
    """The digests of what a person has uploaded."""
    return set(db.scalars(select(Upload.sha256).where(Upload.user_id == user_id)))


def collect_uploads(rt: Runtime, now: datetime | None = None) -> int:
    """Worker task: remove what nobody has shown for the grace of garbage collection; how many."""
    cutoff = (now or clock.now()) - timedelta(days=rt.settings.gc_grace_days)
    old = {meta.key.rpartition("/")[2] for meta in rt.objects.list("uploads") if meta.modified_at < cutoff}
    return drop_uploads(rt, old, cutoff) if old else 0


def drop_uploads(rt: Runtime, digests: Iterable[str], cutoff: datetime | None = None) -> int:
    """Remove those of these uploads that no text shows and nobody has uploaded since `cutoff`; how
    many. Without `cutoff`: that nobody who is still there has uploaded at all.
    """
    started_at = clock.now()
    with rt.database.reading() as db:
        last_id = db.scalar(select(func.max(Comment.id))) or 0
        unused = sorted(set(digests) - _shown(db))
    removed = 0
    for start in range(0, len(unused), _MAX_AT_ONCE):
        with rt.database.writing() as db:
            since = or_(Comment.id > last_id, Comment.edited_at >= started_at)
            shown = _shown(db, since, Draft.updated_at >= started_at)
            for digest in unused[start : start + _MAX_AT_ONCE]:
                if digest not in shown and _forget(db, digest, cutoff or clock.from_unix(0)):
                    rt.objects.delete(upload_key(digest))
                    removed += 1
    return removed


def _shown(db: Session, comments: ColumnElement[bool] | None = None, drafts: object = None) -> set[str]:
    """The digests in all texts, or in those that fulfil the conditions."""
    wanted = select(Comment.text).where(Comment.text.like(_MARK))
    kept = select(Draft.text).where(Draft.text.like(_MARK))
    statements = [wanted if comments is None else wanted.where(comments)]
    statements.append(kept if drafts is None else kept.where(drafts))  # type: ignore[arg-type]
    if comments is None:
        statements.append(select(CommentVersion.text).where(CommentVersion.text.like(_MARK)))
    found: set[str] = set()
    for statement in statements:
        for text in db.scalars(statement.execution_options(yield_per=200)):
            found.update(_ADDRESS.findall(text))
    return found


def _forget(db: Session, digest: str, cutoff: datetime) -> bool:
    """Remove the old rows of an upload; False where somebody has uploaded it since."""
    db.execute(delete(Upload).where(Upload.sha256 == digest, Upload.created_at < cutoff))
    return db.scalar(select(Upload.sha256).where(Upload.sha256 == digest).limit(1)) is None
