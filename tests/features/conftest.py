"""People with passwords, and visitors with cookies of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from starlette.testclient import TestClient

from kit.browser import ORIGIN, PASSWORD, Browser
from llmos.app.asgi import create_app
from llmos.features.accounts.actor import OPERATOR
from llmos.features.accounts.models import User
from llmos.features.accounts.service import create_user
from llmos.infra.runtime import Runtime
from llmos.infra.security.passwords import hash_password


@pytest.fixture(scope="session")
def password_hash() -> str:
    """Hashing is slow on purpose, so everybody's password is hashed once."""
    return hash_password(PASSWORD)


def join(rt: Runtime, password_hash: str) -> dict[str, User]:
    """Create ada, grace (with passwords) and the administrator root-admin."""
    with rt.database.writing() as db:
        return {
            name: create_user(
                db,
                OPERATOR,
                name=name,
                fullname=name.title(),
                email=f"{name}@example.org",
                password_hash=password_hash,
                is_admin=name == "root-admin",
            )
            for name in ("root-admin", "ada", "grace")
        }


@pytest.fixture
def people(rt: Runtime, password_hash: str) -> dict[str, User]:
    """ada, grace (with passwords) and the administrator root-admin."""
    return join(rt, password_hash)


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


@pytest.fixture
def grace(people: dict[str, User], open_browser: Callable[[], Browser]) -> Browser:
    """Grace, signed in."""
    found = open_browser()
    assert found.sign_in("grace").status_code == 303
    return found
