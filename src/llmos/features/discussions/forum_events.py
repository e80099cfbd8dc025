"""The score of topics: what "top" sorts by, counted anew whenever somebody writes or reacts.

Three for every reaction to the first post, one for every reply, five for an accepted answer.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.features.discussions.models import TOPIC, Comment, Reaction, Thread
from llmos.infra.queue.outbox import on

PER_REACTION = 3
PER_REPLY = 1
PER_ANSWER = 5


def count_score(db: Session, thread: Thread) -> int:
    first = Reaction.comment_id == (thread.first_comment_id or 0)
    reactions = db.scalar(select(func.count()).select_from(Reaction).where(first)) or 0
    replies = max(thread.comment_count - 1, 0)
    return PER_REACTION * reactions + PER_REPLY * replies + PER_ANSWER * (thread.answer_id is not None)


def _rescore(db: Session, thread_id: int | None) -> None:
    thread = db.get(Thread, thread_id or 0)
    if thread is not None and thread.kind == TOPIC:
        score = count_score(db, thread)
        if score != thread.score:
            thread.score = score


@on("CommentPosted")
@on("AnswerAccepted")
def _thread_grew(db: Session, payload: dict[str, Any]) -> None:
    _rescore(db, payload["thread_id"])


@on("ReactionAdded")
def _reacted(db: Session, payload: dict[str, Any]) -> None:
    comment = db.get(Comment, payload["comment_id"])
    if comment is not None:
        _rescore(db, comment.thread_id)
