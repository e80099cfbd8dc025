"""A forum with a topic by a newcomer, and people of every level around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy.orm import Session

from llmos.features.accounts.actor import OPERATOR, Actor
from llmos.features.accounts.models import User
from llmos.features.accounts.policy import access_user
from llmos.features.accounts.service import create_user
from llmos.features.auth.credentials import actor_for_user
from llmos.features.discussions import policy
from llmos.features.discussions.categories import access_category, ensure_categories
from llmos.features.discussions.comments import add_comment
from llmos.features.discussions.models import Comment, Thread
from llmos.features.discussions.threads import open_topic
from llmos.features.moderation.limits import register_limits
from llmos.features.moderation.models import Standing
from llmos.features.moderation.subjects import Subject, access_subject
from llmos.infra.runtime import Runtime


@dataclass
class Forum:
    rt: Runtime

    def join(self, name: str, level: int = 0, *, is_admin: bool = False, moderates: bool = False) -> User:
        with self.rt.database.writing() as db:
            user = create_user(db, OPERATOR, name=name, email=f"{name}@example.org", is_admin=is_admin)
            db.add(Standing(user_id=user.id, level=level, is_fixed=True, is_moderator=moderates))
        return user

    def actor(self, db: Session, name: str, **credential: Any) -> Actor:
        return actor_for_user(db, access_user(db, OPERATOR, name), **credential)

    def topic(self, by: str, title: str = "A question", text: str = "How do I load it?") -> int:
        with self.rt.database.writing() as db:
            category = access_category(db, "help")
            return open_topic(db, self.actor(db, by), category, title, text).id

    def reply(self, thread_id: int, by: str, text: str = "An answer") -> str:
        with self.rt.database.writing() as db:
            thread = db.get(Thread, thread_id)
            assert thread is not None
            return add_comment(db, self.actor(db, by), thread, text).public_id

    def subject(self, db: Session, key: str | int) -> Subject:
        kind = "thread" if isinstance(key, int) else "comment"
        return access_subject(db, OPERATOR, kind, str(key))

    def texts(self, thread_id: int) -> list[str]:
        with self.rt.database.reading() as db:
            found = db.query(Comment).filter(Comment.thread_id == thread_id).order_by(Comment.id)
            return [comment.text for comment in found]


@pytest.fixture
def forum(rt: Runtime) -> Iterator[Forum]:
    kept = [list(slot) for slot in (policy.blocked, policy.screens, policy.forum_keepers)]
    register_limits(rt.settings.model_copy(update={"rate_limits": True}))
    ensure_categories(rt)
    forum = Forum(rt)
    forum.join("root-admin", is_admin=True)
    forum.join("mira", 2, moderates=True)
    forum.join("nora", 2, moderates=True)
    forum.join("newbie")
    forum.join("trusty", 3)
    for number in range(1, 5):
        forum.join(f"member{number}", 1)
    yield forum
    for slot, before in zip((policy.blocked, policy.screens, policy.forum_keepers), kept, strict=True):
        slot[:] = before
