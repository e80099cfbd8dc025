"""News of discussions (outbox topics) and the kinds of events a thread's timeline holds.

Payloads of the topics; every id is of our rows, `actor_id` None where the instance itself acted:

- ThreadOpened {thread_id, actor_id, comment_id}
- CommentPosted {thread_id, comment_id, actor_id}  (not for the description)
- CommentEdited {thread_id, comment_id, actor_id}
- CommentHidden {thread_id, comment_id, actor_id}
- ThreadStatusChanged {thread_id, actor_id, old, new}
- ThreadRenamed {thread_id, actor_id, old, new}
- ReviewSubmitted {thread_id, review_id, actor_id, verdict}
- PullMerged {thread_id, actor_id, merge_oid}
- AnswerAccepted {thread_id, comment_id, actor_id}
- ReactionAdded {comment_id, actor_id, emoji}
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.accounts.actor import Actor
from llmos.features.discussions.models import Thread, ThreadEvent
from llmos.infra.queue.outbox import emit

THREAD_OPENED = "ThreadOpened"
COMMENT_POSTED = "CommentPosted"
COMMENT_EDITED = "CommentEdited"
COMMENT_HIDDEN = "CommentHidden"
THREAD_STATUS_CHANGED = "ThreadStatusChanged"
THREAD_RENAMED = "ThreadRenamed"
REVIEW_SUBMITTED = "ReviewSubmitted"
PULL_MERGED = "PullMerged"
ANSWER_ACCEPTED = "AnswerAccepted"
REACTION_ADDED = "ReactionAdded"

# Kinds of ThreadEvent and their data; the first three are on the wire of the Hub protocol.
STATUS_CHANGE = "status-change"  # {"status", "old", "reason"?}
TITLE_CHANGE = "title-change"  # {"from", "to"}
COMMIT = "commit"  # {"subject", "oid", "forced"?}
PINNED = "pinning-change"  # {"pinned": bool}
LOCKED = "locking-change"  # {"locked": bool}
REVIEW = "review"  # {"review_id", "verdict", "oid"}
ANSWER = "answer"  # {"comment_id": public id or None}
REFERENCE = "reference"  # {"thread_num", "title"}: closed by or named in another thread
MOVED = "category-change"  # {"from", "to"}: slugs of categories
WIKI = "wiki-change"  # {"wiki": bool}
BRANCH_DELETED = "branch-deleted"  # {"ref"}


def add_event(db: Session, actor: Actor, thread: Thread, kind: str, data: dict[str, Any]) -> ThreadEvent:
    """A row of the thread's timeline; the thread counts as active now."""
    event = ThreadEvent(
        thread_id=thread.id, kind=kind, actor_id=actor.user_id, data=data, created_at=clock.now()
    )
    thread.last_activity_at = event.created_at
    db.add(event)
    return event


def tell(db: Session, topic: str, actor: Actor, **payload: Any) -> None:
    """Emit a topic of this feature, with who did it."""
    emit(db, topic, {**payload, "actor_id": actor.user_id})
