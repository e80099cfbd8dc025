"""Fixtures of notifications: people with confirmed addresses, receivers of mail and of webhooks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from kit.receivers import Mailbox, Receiver, http_receiver, smtp_receiver
from llmos.app.tasks import periodic_tasks
from llmos.core import clock
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.auth.credentials import actor_for_user
from llmos.features.discussions.models import Comment, Thread
from llmos.features.repos.lifecycle import create_repo
from llmos.features.repos.models import Repo
from llmos.infra.queue.outbox import deliver_due, emit
from llmos.infra.runtime import Runtime
from llmos.infra.settings import get_settings


@pytest.fixture(autouse=True)
def _handlers() -> None:
    periodic_tasks()  # importing the tasks registers every handler of the outbox


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as found:
        yield found


@pytest.fixture
def mailbox(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A mail server that this process's settings name."""
    with smtp_receiver() as box:
        monkeypatch.setenv("LLMOS_SMTP_URL", box.url)
        monkeypatch.setenv("LLMOS_HOME", str(rt.settings.home))
        monkeypatch.setenv("LLMOS_PUBLIC_URL", "https://hub.example.org")
        get_settings.cache_clear()
        rt.settings.smtp_url = box.url
        yield box
        get_settings.cache_clear()


@pytest.fixture
def open_rt(rt: Runtime) -> Runtime:
    """The runtime of the test, allowed to call machines of its own."""
    settings = rt.settings.model_copy(update={"webhook_allow_private": "127.0.0.0/8"})
    return dataclasses.replace(rt, settings=settings)


@dataclasses.dataclass
class Stage:
    """Ada's world: who people are, repositories and threads, written as their owners would."""

    rt: Runtime
    users: dict[str, User]

    def actor(self, name: str) -> Actor:
        with self.rt.database.reading() as db:
            return actor_for_user(db, db.get_one(User, self.users[name].id))

    def repo(self, name: str = "tiny-llm", owner: str = "ada", **options: Any) -> int:
        with self.rt.database.writing() as db:
            return create_repo(db, self.actor(owner), self.rt, name=name, **options).id

    def write(self, work: Callable[[Session], Any]) -> Any:
        with self.rt.database.writing() as db:
            return work(db)

    def thread(self, repo_id: int | None, author: str, text: str, title: str = "Loss is NaN") -> int:
        """A discussion of a repository, or a topic, with the news of it."""
        with self.rt.database.writing() as db:
            num = 0
            if repo_id is not None:
                repo = db.get_one(Repo, repo_id)
                num, repo.next_thread_num = repo.next_thread_num, repo.next_thread_num + 1
            kind = "topic" if repo_id is None else "discussion"
            author_id = self.users[author].id
            thread = Thread(kind=kind, repo_id=repo_id, num=num, title=title, author_id=author_id)
            db.add(thread)
            db.flush()
            comment = Comment(thread_id=thread.id, author_id=author_id, text=text)
            db.add(comment)
            db.flush()
            thread.first_comment_id = comment.id
            emit(
                db,
                "ThreadOpened",
                {"thread_id": thread.id, "actor_id": author_id, "comment_id": comment.id},
            )
            return thread.id

    def comment(self, thread_id: int, author: str, text: str, **fields: Any) -> int:
        with self.rt.database.writing() as db:
            author_id = self.users[author].id
            comment = Comment(thread_id=thread_id, author_id=author_id, text=text, **fields)
            db.add(comment)
            db.flush()
            payload = {"thread_id": thread_id, "comment_id": comment.id, "actor_id": author_id}
            emit(db, "CommentPosted", payload)
            return comment.id

    def deliver(self) -> None:
        while deliver_due(self.rt.database):
            pass


@pytest.fixture
def stage(rt: Runtime, people: dict[str, User]) -> Stage:
    with rt.database.writing() as db:
        for user in people.values():
            db.get_one(User, user.id).email_verified_at = clock.now()
    return Stage(rt, people)
