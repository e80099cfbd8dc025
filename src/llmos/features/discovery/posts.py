"""Threads and comments in the search index, and finding them again.

Every comment is a document of its own; the description of a thread carries the thread's title.
Who may see a post is asked of the repositories in the same query, so a repository that becomes
private disappears from searches at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session, lazyload

from llmos.features.accounts.actor import Actor
from llmos.features.discussions.models import Comment, Thread
from llmos.features.repos.models import Repo
from llmos.features.repos.visibility import visible_to
from llmos.infra.queue.outbox import on
from llmos.infra.search.index import index_document, remove_document, remove_group, search
from llmos.infra.search.tables import SearchPost


@dataclass(frozen=True, slots=True)
class FoundPost:
    thread: Thread
    comment: Comment
    repo: Repo | None


def index_comment(db: Session, comment: Comment, thread: Thread) -> None:
    """Write the document of a comment; one that is hidden is taken out."""
    if comment.hidden_at is not None or thread.hidden_at is not None:
        remove_document(db, f"comment:{comment.id}", shelf=SearchPost)
        return
    is_first = comment.id == thread.first_comment_id
    index_document(
        db,
        f"comment:{comment.id}",
        thread.kind,
        thread.title if is_first else "",
        comment.text,
        group_id=thread.repo_id,
        shelf=SearchPost,
    )


def _index(db: Session, thread_id: Any, comment_id: Any) -> None:
    thread = db.get(Thread, thread_id)
    comment = db.get(Comment, comment_id or (thread.first_comment_id if thread else None) or 0)
    if thread is not None and comment is not None:
        index_comment(db, comment, thread)


@on("ThreadOpened")
@on("CommentPosted")
@on("CommentEdited")
@on("CommentHidden")
@on("ThreadRenamed")
def _post_changed(db: Session, payload: dict[str, Any]) -> None:
    _index(db, payload["thread_id"], payload.get("comment_id"))


@on("RepoDeleted")
def _repo_deleted(db: Session, payload: dict[str, Any]) -> None:
    remove_group(db, payload["repo_id"], shelf=SearchPost)


def reindex_posts(db: Session) -> int:
    """Write every document anew; returns how many."""
    statement = select(Comment, Thread).join(Thread, Thread.id == Comment.thread_id)
    # Without their authors: rows of joined collections cannot be read in pieces.
    rows = db.execute(statement.options(lazyload("*")))
    count = 0
    for comment, thread in rows.yield_per(500):
        index_comment(db, comment, thread)
        count += 1
    return count


def visible_posts(actor: Actor) -> ColumnElement[bool]:
    """A condition on the shelf: topics of the forum, and posts in repositories the actor may know of."""
    seen = select(Repo.id).where(Repo.id == SearchPost.group_id, visible_to(actor)).exists()
    return or_(SearchPost.group_id.is_(None), seen)


def find_posts(db: Session, actor: Actor, query: str, *, limit: int = 20) -> list[FoundPost]:
    """The posts that hold every word, best first. Two queries."""
    hits = search(db, query, limit=limit, shelf=SearchPost, where=visible_posts(actor))
    ids = [int(hit.doc_key.removeprefix("comment:")) for hit in hits]
    if not ids:
        return []
    rows = db.execute(
        select(Comment, Thread, Repo)
        .join(Thread, Thread.id == Comment.thread_id)
        .outerjoin(Repo, Repo.id == Thread.repo_id)
        .where(Comment.id.in_(ids), Comment.hidden_at.is_(None), Thread.hidden_at.is_(None))
    ).unique()
    found = {comment.id: FoundPost(thread, comment, repo) for comment, thread, repo in rows}
    return [found[id_] for id_ in ids if id_ in found]


def suggest_threads(db: Session, actor: Actor, beginning: str, *, limit: int = 3) -> list[FoundPost]:
    """Threads whose title holds the words typed so far."""
    hits = search(db, beginning, limit=limit, in_title=True, shelf=SearchPost, where=visible_posts(actor))
    ids = [int(hit.doc_key.removeprefix("comment:")) for hit in hits]
    if not ids:
        return []
    rows = db.execute(
        select(Comment, Thread, Repo)
        .join(Thread, Thread.id == Comment.thread_id)
        .outerjoin(Repo, Repo.id == Thread.repo_id)
        .where(Comment.id.in_(ids), Thread.hidden_at.is_(None))
    ).unique()
    return [FoundPost(thread, comment, repo) for comment, thread, repo in rows]
