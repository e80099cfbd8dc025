"""A namespace that has used up its room is told so, whichever way it uploads."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, update

from faults.live import Visitor, leftovers, wait_for
from kit.people import add_org
from kit.programs import client_env, run
from kit.server import LiveServer
from llmos.features.accounts.models import Namespace, User
from llmos.features.storage.objects import object_key
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings

MIB = 1024 * 1024
QUOTA_BYTES = 4 * MIB
_numbers = itertools.count(1)


@pytest.fixture
def rt(server: LiveServer) -> Iterator[Runtime]:
    """A second runtime over the live server's folder, in which `tight` may store 4 MiB in all.

    An organisation of its own: what other tests left in theirs would count.
    """
    env = server.env
    extra = {"database_url": env["LLMOS_DATABASE_URL"]} if "LLMOS_DATABASE_URL" in env else {}
    runtime = open_runtime(Settings(home=server.home, **extra))
    with runtime.database.writing() as db:
        if db.scalar(select(Namespace.id).where(Namespace.name_key == "tight")) is None:
            ada = (
                db.scalars(select(User).join(User.namespace).where(Namespace.name_key == "ada"))
                .unique()
                .one()
            )
            add_org(db, "tight", ada)
        db.execute(update(Namespace).where(Namespace.name_key == "tight").values(quota_bytes=QUOTA_BYTES))
    yield runtime
    runtime.close()


@pytest.fixture
def repo(ada: Visitor, rt: Runtime) -> Iterator[str]:
    name = ada.create(f"quota-{next(_numbers)}", organization="tight")
    yield name
    ada.http.request("DELETE", "/api/repos/delete", json={"name": name}).raise_for_status()


def test_a_batch_that_does_not_fit_is_refused(ada: Visitor, repo: str) -> None:
    answer = ada.upload_link(repo, b"", QUOTA_BYTES + 1)
    assert answer.status_code == 413
    assert "storage quota of tight is used up" in answer.json()["message"]
    assert ada.upload_link(repo, b"", QUOTA_BYTES).status_code == 200


def test_uploads_that_fit_alone_do_not_fit_together(ada: Visitor, repo: str, rt: Runtime) -> None:
    first, second = os.urandom(3 * MIB), os.urandom(3 * MIB)
    links = [ada.upload_href(repo, data) for data in (first, second)]
    assert httpx.put(links[0], content=first).status_code == 200
    answer = httpx.put(links[1], content=second)
    assert answer.status_code == 413
    assert "storage quota of tight is used up" in answer.json()["message"]
    assert not ada.has_object(repo, second)
    assert rt.objects.head(object_key(hashlib.sha256(second).hexdigest())) is None
    assert not leftovers(ada.server.home)


def test_room_filled_while_an_upload_arrives(ada: Visitor, repo: str, rt: Runtime) -> None:
    """The slow upload began when there was room; it is refused when it ends, and leaves no bytes."""
    slow, fast = os.urandom(3 * MIB), os.urandom(3 * MIB)
    slow_link, fast_link = ada.upload_href(repo, slow), ada.upload_href(repo, fast)

    def pieces() -> Iterator[bytes]:
        yield slow[:MIB]
        wait_for(lambda: leftovers(ada.server.home), "the slow upload has begun")
        assert httpx.put(fast_link, content=fast).status_code == 200
        yield slow[MIB:]

    answer = httpx.put(slow_link, content=pieces())
    assert answer.status_code == 413
    assert "storage quota of tight is used up" in answer.json()["message"]
    assert rt.objects.head(object_key(hashlib.sha256(slow).hexdigest())) is None
    assert not leftovers(ada.server.home)


@pytest.mark.parametrize("is_xet", [True, False], ids=["xet", "lfs"])
def test_the_official_client_shows_the_reason(
    ada: Visitor, repo: str, rt: Runtime, tmp_path: Path, is_xet: bool
) -> None:
    source = tmp_path / "large.bin"
    source.write_bytes(os.urandom(5 * MIB))
    env = client_env(ada.server, tmp_path, **({} if is_xet else {"HF_HUB_DISABLE_XET": "1"}))
    before = ada.head(repo)
    done = run(["hf", "upload", repo, str(source), "large.bin"], env, check=False)
    assert done.returncode != 0
    assert "storage quota of tight is used up" in done.stdout + done.stderr
    assert ada.head(repo) == before
    assert not leftovers(ada.server.home)


def test_a_push_of_too_much_is_refused(ada: Visitor, repo: str, tmp_path: Path) -> None:
    env = client_env(ada.server, tmp_path) | {"GIT_AUTHOR_NAME": "Ada", "GIT_COMMITTER_NAME": "Ada"}
    env |= {"GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_COMMITTER_EMAIL": "ada@example.org"}
    url = ada.server.url.replace("://", f"://ada:{ada.token}@") + f"/{repo}"
    run(["git", "clone", "-q", url, "work"], env, tmp_path)
    (tmp_path / "work" / "large.bin").write_bytes(os.urandom(5 * MIB))
    run(["git", "add", "."], env, tmp_path / "work")
    run(["git", "commit", "-qm", "Large"], env, tmp_path / "work")
    before = ada.head(repo)
    pushed = run(["git", "push", "origin", "HEAD:main"], env, tmp_path / "work", check=False)
    assert pushed.returncode != 0
    assert ada.head(repo) == before
    wait_for(lambda: not leftovers(ada.server.home), "nothing is left")
