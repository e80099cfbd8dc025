"""Bodies that are too short, too long, wrong, slow, or broken off: nothing is left of them."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import update

from faults.live import Visitor, commit_lines, leftovers, open_request, wait_for
from kit.programs import client_env
from llmos.core import clock
from llmos.features.auth.models import AccessToken
from llmos.infra.runtime import open_runtime
from llmos.infra.security.secrets import hash_secret
from llmos.infra.settings import Settings

_numbers = itertools.count(1)


@pytest.fixture
def repo(ada: Visitor) -> str:
    return ada.create(f"streams-{next(_numbers)}")


def _pieces(data: bytes) -> Iterator[bytes]:
    yield data


@pytest.mark.parametrize("change", [-1, 1, 5_000_000])
@pytest.mark.parametrize("is_announced", [True, False])
def test_an_upload_of_another_length_is_refused(
    ada: Visitor, repo: str, change: int, is_announced: bool
) -> None:
    data = os.urandom(100_000)
    href = ada.upload_href(repo, data)
    sent = data + os.urandom(change) if change > 0 else data[:change]
    answer = httpx.put(href, content=sent if is_announced else _pieces(sent))
    assert answer.status_code == 422
    assert "100000 were announced" in answer.json()["message"]
    assert not ada.has_object(repo, data)
    assert not leftovers(ada.server.home)
    assert httpx.put(href, content=data).status_code == 200, "the same link may be tried again"
    assert ada.has_object(repo, data)


def test_an_upload_of_other_bytes_is_refused(ada: Visitor, repo: str) -> None:
    data = os.urandom(100_000)
    answer = httpx.put(ada.upload_href(repo, data), content=os.urandom(100_000))
    assert answer.status_code == 422
    assert "SHA-256" in answer.json()["message"]
    assert not ada.has_object(repo, data)
    assert not leftovers(ada.server.home)


def test_a_commit_broken_off_changes_nothing(ada: Visitor, repo: str) -> None:
    assert ada.commit(repo, {"a.txt": "1"}).status_code == 200
    before = ada.head(repo)
    body = commit_lines({f"f{number}": "x" * 5000 for number in range(400)})
    for length in (len(body) - 1, len(body) // 2, 10):
        headers = {"Authorization": f"Bearer {ada.token}", "Content-Length": str(len(body))}
        connection = open_request(f"{ada.server.url}/api/models/{repo}/commit/main", "POST", headers)
        connection.sendall(body[:length])
        connection.close()
    wait_for(lambda: not leftovers(ada.server.home), "temporary files are gone")
    assert ada.commit(repo, {"b.txt": "2"}).status_code == 200
    assert {"a.txt", "b.txt"} == {path for path in ada.files(repo) if path != ".gitattributes"}
    history = ada.http.get(f"/api/models/{repo}/commits/main").json()
    assert history[1]["id"] == before


def test_a_push_broken_off_changes_nothing(ada: Visitor, repo: str, tmp_path: Path) -> None:
    ada.commit(repo, {"a.txt": "1"})
    before = ada.head(repo)
    url = f"{ada.server.url}/{repo}.git/git-receive-pack"
    headers = {
        "Authorization": f"Bearer {ada.token}",
        "Content-Type": "application/x-git-receive-pack-request",
        "Content-Length": "100000",
    }
    command = f"{before} {'1' * 40} refs/heads/main\0report-status".encode()
    connection = open_request(url, "POST", headers)
    connection.sendall(b"%04x%s0000PACK\0\0\0\x02\0\0\0\x05\x90" % (len(command) + 4, command))
    connection.close()
    wait_for(lambda: not leftovers(ada.server.home), "the quarantine is gone")
    assert ada.head(repo) == before
    env = client_env(ada.server, tmp_path)
    clone = ["git", "clone", "-q", f"{ada.server.url}/{repo}", "clone"]
    subprocess.run(clone, cwd=tmp_path, env=env, check=True, timeout=60)
    subprocess.run(["git", "fsck", "--full"], cwd=tmp_path / "clone", env=env, check=True, timeout=60)


def test_an_expired_token_opens_nothing(ada: Visitor, repo: str, tmp_path: Path) -> None:
    from kit.people import add_token
    from llmos.features.accounts.models import User

    env = ada.server.env
    database = {"database_url": env["LLMOS_DATABASE_URL"]} if "LLMOS_DATABASE_URL" in env else {}
    rt = open_runtime(Settings(home=ada.server.home, **database))
    with rt.database.writing() as db:
        owner = db.query(User).filter(User.email_key == "ada@example.org").one()
        token = add_token(db, owner, name=f"short-{next(_numbers)}")
    bearer = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{ada.server.url}/api/whoami-v2", headers=bearer).status_code == 200
    with rt.database.writing() as db:
        past = clock.now() - timedelta(seconds=1)
        found = update(AccessToken).where(AccessToken.token_hash == hash_secret(token))
        db.execute(found.values(expires_at=past))
    rt.close()
    for method, path in (
        ("GET", "/api/whoami-v2"),
        ("GET", f"/api/models/{repo}"),
        ("POST", f"/api/models/{repo}/commit/main"),
        ("POST", f"/{repo}.git/info/lfs/objects/batch"),
        ("GET", f"/{repo}.git/info/refs?service=git-receive-pack"),
        ("GET", f"/api/models/{repo}/xet-write-token/main"),
    ):
        answer = httpx.request(method, ada.server.url + path, headers=bearer)
        assert answer.status_code == 401, (path, answer.text)
        as_password = httpx.request(method, ada.server.url + path, auth=("ada", token))
        assert as_password.status_code == 401, path


def test_slow_clients_do_not_hold_up_the_others(ada: Visitor, repo: str) -> None:
    """More of them than the server has threads, each stuck at another place."""
    data = os.urandom(1000)
    auth = {"Authorization": f"Bearer {ada.token}", "Content-Length": "1000"}
    body = commit_lines({"slow.txt": "x"})
    with ExitStack() as stack:
        for number in range(60):
            url = f"{ada.server.url}/api/models/{repo}/commit/main"
            if number % 3 == 0:
                connection = open_request(url, "POST", auth)
                connection.sendall(body[: number + 1])
            elif number % 3 == 1:
                connection = open_request(ada.upload_href(repo, data), "PUT", {"Content-Length": "1000"})
                connection.sendall(data[: number + 1])
            else:
                connection = open_request(f"{ada.server.url}/api/repos/create", "POST", auth)
                connection.sendall(b'{"na')
            stack.enter_context(connection)
        with httpx.Client(timeout=10, headers={"Authorization": f"Bearer {ada.token}"}) as other:
            for _ in range(5):
                assert other.get(f"{ada.server.url}/api/whoami-v2").status_code == 200
            fast = other.post(
                f"{ada.server.url}/api/models/{repo}/commit/main", content=commit_lines({"fast.txt": "x"})
            )
            assert fast.status_code == 200
    wait_for(lambda: not leftovers(ada.server.home), "what the slow ones sent is removed")
    assert "slow.txt" not in ada.files(repo)
