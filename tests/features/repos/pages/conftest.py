"""Visitors of pages: one in-process client, people told apart by their tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx
import pytest
from starlette.testclient import TestClient

from llmos.features.accounts.actor import Actor
from llmos.features.repos.commit_targets import open_target
from llmos.features.repos.commits import CommitDraft
from llmos.features.repos.models import Repo
from llmos.infra.runtime import Runtime


@dataclass(frozen=True)
class Visitors:
    """`who` None is a visitor without an account."""

    client: TestClient
    tokens: Mapping[str, str]

    def _headers(self, who: str | None, locale: str = "en") -> dict[str, str]:
        headers = {"accept": "text/html", "accept-language": locale, "origin": "http://testserver"}
        return headers | ({"authorization": f"Bearer {self.tokens[who]}"} if who else {})

    def get(self, path: str, who: str | None = None, *, locale: str = "en") -> httpx.Response:
        return self.client.get(path, headers=self._headers(who, locale))

    def post(self, path: str, who: str | None = None, **fields: str) -> httpx.Response:
        return self.client.post(path, data=fields, headers=self._headers(who))

    def headers(self, who: str) -> dict[str, str]:
        return self._headers(who)

    def upload(self, path: str, who: str | None, files: Mapping[str, bytes], **fields: str) -> httpx.Response:
        parts = [("files", (name, data)) for name, data in files.items()]
        return self.client.post(path, data=fields, files=parts, headers=self._headers(who))


@pytest.fixture
def visitors(app_client: TestClient, tokens: dict[str, str]) -> Visitors:
    return Visitors(app_client, tokens)


Put = Callable[..., None]


@pytest.fixture
def put(rt: Runtime, people: dict[str, Actor]) -> Put:
    """Commit regular files to a repository, as its owner."""

    def commit(repo: Repo, files: Mapping[str, bytes | str], by: str = "ada", rev: str = "main") -> None:
        namespace, _, name = repo.repo_name.partition("/")
        with rt.database.reading() as db:
            target = open_target(db, rt, people[by], repo.repo_type, namespace, name, rev)
        with CommitDraft(rt, people[by], target) as draft:
            draft.set_header("Add files", "", None)
            for path, data in files.items():
                draft.add_file(path, data.encode() if isinstance(data, str) else data)
            draft.finish()

    return commit
