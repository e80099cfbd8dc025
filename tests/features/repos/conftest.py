"""Actors and repositories of the service tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmos.features.accounts.actor import ANONYMOUS, Actor
from llmos.features.auth.credentials import actor_for_token
from llmos.features.repos.lifecycle import create_repo
from llmos.features.repos.models import Repo
from llmos.infra.runtime import Runtime

People = dict[str, Actor]


@pytest.fixture
def people(rt: Runtime, tokens: dict[str, str]) -> People:
    with rt.database.reading() as db:
        found = {name: actor_for_token(db, token) for name, token in tokens.items()}
    return found | {"anonymous": ANONYMOUS}


@pytest.fixture
def make_repo(rt: Runtime, people: People) -> Callable[..., Repo]:
    """Create a repository in a committed transaction; ada's `tiny-llm` by default."""

    def make(name: str = "tiny-llm", by: str = "ada", **options: Any) -> Repo:
        with rt.database.writing() as db:
            return create_repo(db, people[by], rt, name=name, **options)

    return make
