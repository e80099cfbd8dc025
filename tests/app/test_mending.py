"""What a crash left behind is mended by whichever process starts, one at a time."""

from __future__ import annotations

import fcntl
import threading
import time

import pytest
from starlette.testclient import TestClient

from llmos.app import mending
from llmos.app.asgi import create_app
from llmos.core.repo_types import RepoType
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import get_repo
from llmos.infra.runtime import Runtime


def break_index(rt: Runtime, client: TestClient, token: str) -> None:
    headers = {"authorization": f"Bearer {token}"}
    client.post("/api/repos/create", json={"name": "tiny-llm"}, headers=headers).raise_for_status()
    with rt.database.writing() as db:
        db.query(Repo).update({"head_oid": None})


def get_head(rt: Runtime) -> str | None:
    with rt.database.reading() as db:
        repo = get_repo(db, RepoType.MODEL, "ada", "tiny-llm")
        assert repo is not None
        return repo.head_oid


def test_a_web_process_alone_mends_after_its_start(
    rt: Runtime, app_client: TestClient, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_index(rt, app_client, tokens["ada"])
    monkeypatch.setattr(mending, "WAIT_S", 0.0)
    with TestClient(create_app(runtime=rt)):
        for thread in [thread for thread in threading.enumerate() if thread.name == "mender"]:
            thread.join(30)
        assert get_head(rt) is not None


def test_one_at_a_time_and_not_twice(rt: Runtime, app_client: TestClient, tokens: dict[str, str]) -> None:
    break_index(rt, app_client, tokens["ada"])
    with (rt.settings.home / "mending.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert mending.mend_in_turn(rt) is None
    before_s = time.time()
    assert mending.mend_in_turn(rt) == 1
    assert mending.mend_in_turn(rt, unless_since_s=before_s) is None
    assert mending.mend_in_turn(rt) == 0
