"""A repository with people around it, and short ways to commit and to open pull requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy.orm import Session

from llmos.features.accounts.actor import ANONYMOUS, Actor
from llmos.features.auth.credentials import actor_for_token
from llmos.features.discussions.models import Thread
from llmos.features.discussions.policy import access_thread
from llmos.features.repos.commit_targets import open_target
from llmos.features.repos.commits import CommitDraft
from llmos.features.repos.lifecycle import create_repo
from llmos.features.repos.models import Repo
from llmos.infra.runtime import Runtime


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
