"""A small community: repositories, threads and posts, told to the outbox as their features do."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

import llmos.app.tasks  # noqa: F401  # registers the handlers of the outbox
from kit.statements import counted
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.auth.credentials import actor_for_token
from llmos.features.discussions.models import Comment, Thread
from llmos.features.repos.lifecycle import create_repo
from llmos.features.repos.models import Repo
from llmos.infra.queue.outbox import deliver_due, emit
from llmos.infra.runtime import Runtime


@dataclass
class Town:
    """Everybody of `kit.people` over one runtime; `who` None is a visitor."""

    rt: Runtime
    client: TestClient
    tokens: Mapping[str, str]

    def actor(self, who: str) -> Actor:
        with self.rt.database.reading() as db:
            return actor_for_token(db, self.tokens[who])

    def _headers(self, who: str | None, locale: str) -> dict[str, str]:
        headers = {"accept": "text/html", "accept-language": locale, "origin": "http://testserver"}
        return headers | ({"authorization": f"Bearer {self.tokens[who]}"} if who else {})

    def get(self, path: str, who: str | None = None, *, locale: str = "en", **params: str) -> httpx.Response:
        return self.client.get(path, params=params or None, headers=self._headers(who, locale))

    def post(self, path: str, who: str | None = None, **fields: Any) -> httpx.Response:
        return self.client.post(path, data=fields, headers=self._headers(who, "en"))

    def repo(self, name: str, owner: str = "ada", *, type: str = "model", **columns: Any) -> int:
        actor = self.actor("grace" if owner == "grace" else "ada")
        with self.rt.database.writing() as db:
            made = create_repo(
                db,
                actor,
                self.rt,
                name=name,
                organization=owner if owner == "lab" else None,
                repo_type=RepoType(type),
                visibility=columns.pop("visibility", None),
                sdk="static" if type == "space" else None,
            )
            for key, value in columns.items():
                setattr(made, key, value)
            return made.id

    def thread(self, title: str, text: str, who: str = "ada", repo_id: int | None = None) -> int:
        actor = self.actor(who)
        with self.rt.database.writing() as db:
            thread = Thread(
                kind="discussion" if repo_id else "topic",
                repo_id=repo_id,
                num=db.query(Thread).count() + 1,
                title=title,
                author_id=actor.user_id,
            )
            db.add(thread)
            db.flush()
            comment = Comment(thread_id=thread.id, author_id=actor.user_id, text=text)
            db.add(comment)
            db.flush()
            thread.first_comment_id = comment.id
            payload = {"thread_id": thread.id, "comment_id": comment.id, "actor_id": actor.user_id}
            emit(db, "ThreadOpened", payload)
            return thread.id

    def tell(self) -> None:
        """Deliver the outbox, as the worker does."""
        while deliver_due(self.rt.database):
            pass

    def id_of(self, name: str) -> int:
        with self.rt.database.reading() as db:
            return db.scalars(select(Namespace.id).where(Namespace.name == name)).one()

    def counted(self) -> AbstractContextManager[list[str]]:
        """The queries that reach the database meanwhile."""
        return counted()

    def edit(self, repo_id: int, **columns: Any) -> None:
        with self.rt.database.writing() as db:
            repo = db.get_one(Repo, repo_id)
            for key, value in columns.items():
                setattr(repo, key, value)


@pytest.fixture
def town(rt: Runtime, app_client: TestClient, tokens: dict[str, str]) -> Town:
    return Town(rt, app_client, tokens)
