"""People with passwords, and visitors with cookies of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from starlette.testclient import TestClient

from kit.browser import ORIGIN, PASSWORD, Browser
from llmos.app.asgi import create_app
from llmos.features.accounts.actor import OPERATOR
from llmos.features.accounts.models import User
from llmos.features.auth.passwords import NewPerson, create_user_with_password
from llmos.infra.runtime import Runtime


@pytest.fixture
def people(rt: Runtime) -> dict[str, User]:
    """ada, grace (with passwords) and the administrator root-admin."""
    made = {}
    for name in ("root-admin", "ada", "grace"):
        person = NewPerson(name, PASSWORD, name.title(), f"{name}@example.org")
        made[name] = create_user_with_password(rt, OPERATOR, person, is_admin=name == "root-admin")
    return made


@pytest.fixture
def open_browser(rt: Runtime) -> Iterator[Callable[[], Browser]]:
    """Makes visitors, each with cookies of their own."""
    clients: list[TestClient] = []

    def make() -> Browser:
        client = TestClient(create_app(runtime=rt), base_url=ORIGIN, follow_redirects=False)
        client.__enter__()
        clients.append(client)
        return Browser(client)

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def browser(open_browser: Callable[[], Browser]) -> Browser:
    return open_browser()


@pytest.fixture
def ada(people: dict[str, User], open_browser: Callable[[], Browser]) -> Browser:
    """Ada, signed in."""
    found = open_browser()
    assert found.sign_in("ada").status_code == 303
    return found
