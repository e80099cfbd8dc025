"""A repository with people around it, and short ways to commit and to open pull requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from llmos.features.accounts.actor import ANONYMOUS, Actor
from llmos.features.auth.credentials import actor_for_token
from llmos.features.discussions.models import Comment, Thread
from llmos.features.discussions.policy import access_thread
from llmos.features.repos.commit_targets import open_target
from llmos.features.repos.commits import CommitDraft
from llmos.features.repos.lifecycle import create_repo
from llmos.features.repos.models import Repo
from llmos.infra.runtime import Runtime

BASE = "/ada/tiny-llm/discussions"
TRAIN = b"import torch\n\nfirst = 1\nsecond = 2\nthird = 3\n"


@dataclass
class Place:
    """Ada's `tiny-llm`, and what people do there."""

    rt: Runtime
    repo: Repo
    people: dict[str, Actor] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Actor:
        return self.people[name]

    def commit(
        self,
        files: Mapping[str, bytes],
        *,
        by: str = "ada",
        rev: str = "main",
        message: str = "Work",
        description: str = "",
        as_pull: bool = False,
    ) -> Any:
        with self.rt.database.reading() as db:
            names = (self.repo.repo_type, "ada", "tiny-llm")
            target = open_target(db, self.rt, self.people[by], *names, rev, create_pr=as_pull)
        with CommitDraft(self.rt, self.people[by], target) as draft:
            draft.set_header(message, description, None)
            for path, data in files.items():
                draft.add_file(path, data)
            return draft.finish()

    def pull(self, files: Mapping[str, bytes], *, by: str = "grace", **options: str) -> int:
        num: int = self.commit(files, by=by, as_pull=True, **options).pull_num
        return num

    def thread(self, num: int, db: Session | None = None, by: str = "ada") -> Thread:
        if db is not None:
            return access_thread(db, self.people[by], self.repo, num)
        with self.rt.database.reading() as own:
            return access_thread(own, self.people[by], self.repo, num)

    @contextmanager
    def changing(self, num: int, by: str = "ada") -> Iterator[tuple[Session, Actor, Thread]]:
        with self.rt.database.writing() as db:
            yield db, self.people[by], self.thread(num, db, by)


@pytest.fixture
def place(rt: Runtime, tokens: dict[str, str]) -> Place:
    with rt.database.reading() as db:
        people = {name: actor_for_token(db, token) for name, token in tokens.items()}
    with rt.database.writing() as db:
        repo = create_repo(db, people["ada"], rt, name="tiny-llm")
    return Place(rt, repo, people | {"anonymous": ANONYMOUS})


@pytest.fixture
def slot() -> Iterator[Callable[[list[Any], Any], None]]:
    """Fill a slot for the length of a test."""
    filled: list[tuple[list[Any], Any]] = []

    def fill(where: list[Any], what: Any) -> None:
        where.append(what)
        filled.append((where, what))

    yield fill
    for where, what in filled:
        where.remove(what)


class People:
    """Who reads and writes pages, told apart by their tokens."""

    def __init__(self, client: TestClient, tokens: dict[str, str]) -> None:
        self.client, self.tokens = client, tokens

    def _headers(self, who: str | None, **more: str) -> dict[str, str]:
        headers = {"accept": "text/html", "origin": "http://testserver", "accept-language": "en"}
        return headers | ({"authorization": f"Bearer {self.tokens[who]}"} if who else {}) | more

    def get(self, path: str, who: str | None = None, /, **headers: str) -> httpx.Response:
        return self.client.get(path, headers=self._headers(who, **headers))

    def read(self, path: str, who: str | None = None, /, **headers: str) -> str:
        answer = self.get(path, who, **headers)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:2000])
        return answer.text

    def post(self, path: str, who: str | None = None, /, **fields: str) -> httpx.Response:
        parts = {name: (None, value) for name, value in fields.items()} or {"nothing": (None, "")}
        return self.client.post(path, files=parts, headers=self._headers(who))

    def do(self, path: str, who: str, /, **fields: str) -> str:
        """Post, and follow to the page it leads to."""
        answer = self.post(path, who, **fields)
        assert answer.status_code == 303, (path, answer.status_code, answer.text[-3000:])
        return answer.headers["location"]


@pytest.fixture
def people(app_client: TestClient, tokens: dict[str, str]) -> People:
    return People(app_client, tokens)


def comment_ids(place: Place, num: int) -> list[str]:
    with place.rt.database.reading() as db:
        thread = place.thread(num, db)
        found = db.query(Comment).filter(Comment.thread_id == thread.id).order_by(Comment.id)
        return [comment.public_id for comment in found]


@pytest.fixture
def pull(place: Place) -> int:
    place.commit({"train.py": TRAIN})
    return place.pull({"train.py": TRAIN.replace(b"second = 2", b"second = two")}, message="Say two")
