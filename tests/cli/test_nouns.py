"""The commands of an operator beside a running server: repo, config, doctor, gc, reindex."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from kit.server import LiveServer
from llmos.cli.root import main
from llmos.infra.settings import get_settings

Run = Callable[..., Result]


@pytest.fixture
def llmos(server: LiveServer) -> Iterator[Run]:
    get_settings.cache_clear()

    def run(*words: str, code: int = 0, **env: str) -> Result:
        done = CliRunner().invoke(main, list(words), env=server.env | env)
        assert done.exit_code == code, done.output
        return done

    yield run
    get_settings.cache_clear()


def status(server: LiveServer, repo: str, person: str = "ada") -> int:
    headers = {"Authorization": f"Bearer {server.tokens[person]}"}
    return httpx.get(f"{server.url}/api/models/{repo}", headers=headers).status_code


def test_a_repository_from_creation_to_its_return(server: LiveServer, llmos: Run) -> None:
    name = f"ada/by-command-{uuid.uuid4().hex[:8]}"
    made = json.loads(llmos("repo", "create", name, "--private", "--json").stdout)
    assert made == {"type": "model", "name": name}
    assert (status(server, name), status(server, name, "grace")) == (200, 404)
    assert "already" in llmos("repo", "create", name, code=1).output
    listed = json.loads(llmos("repo", "list", "--author", "ada", "--json").stdout)
    assert name in [row["name"] for row in listed]
    llmos("repo", "move", name, f"{name}-moved")
    assert status(server, name) == 307
    gone = llmos("repo", "delete", f"{name}-moved", "--yes")
    assert status(server, f"{name}-moved") == 404
    restored = re.search(r"llmos repo restore (\w+)", gone.stdout)
    assert restored
    llmos("repo", "restore", restored[1])
    assert status(server, f"{name}-moved") == 200
    assert "no person or organisation" in llmos("repo", "create", "nobody-here/x", code=1).output
    space = f"lab/space-{uuid.uuid4().hex[:8]}"
    llmos("repo", "create", space, "--type", "space", "--sdk", "static")


def test_config_says_each_value_and_its_source(server: LiveServer, llmos: Run) -> None:
    shown = {row["name"]: row for row in json.loads(llmos("config", "show", "--json").stdout)}
    assert shown["LLMOS_PORT"]["value"] == server.port
    assert shown["LLMOS_PORT"]["source"] == "environment"
    assert shown["LLMOS_SIGNUP"]["source"] == "default"
    secret = "a secret nobody may read on a screen"
    get_settings.cache_clear()
    assert secret not in llmos("config", "show", LLMOS_SECRET_KEY=secret).stdout


def test_gc_lists_before_it_removes(llmos: Run) -> None:
    dry = json.loads(llmos("gc", "--json").stdout)
    assert (dry["dry_run"], dry["objects"]) == (True, 0)
    assert llmos("gc", "--undo", "--delete", code=2)


def test_reindex_reads_every_repository_again(server: LiveServer, llmos: Run) -> None:
    name = f"ada/indexed-{uuid.uuid4().hex[:8]}"
    llmos("repo", "create", name)
    counts = json.loads(llmos("reindex", "--json").stdout)
    assert counts["failed"] == 0
    assert counts["indexed"] >= 1


def test_doctor_finds_an_orphan_and_repairs_it(server: LiveServer, llmos: Run) -> None:
    checks = {row["check"]: row for row in json.loads(llmos("doctor", "--json").stdout)["checks"]}
    assert {"git", "git-lfs", "folder", "disk", "database", "clock", "sandbox"} <= set(checks)
    assert checks["database"]["state"] == "ok"
    name = f"ada/lost-{uuid.uuid4().hex[:8]}"
    llmos("repo", "create", name)
    info = httpx.get(f"{server.url}/api/models/{name}").json()
    (folder,) = (server.home / "git").rglob(f"{info['_id']}.git")
    stray = Path(str(folder).replace(info["_id"], "f" * 22 + info["_id"][-2:]))
    shutil.copytree(folder, stray)
    age(stray)
    found = json.loads(llmos("doctor", "--json", code=1).stdout)["problems"]
    assert [problem for problem in found if stray.name in problem["subject"] + problem["detail"]]
    assert stray.exists(), "looking mends nothing"
    llmos("doctor", "--repair")
    assert not stray.exists()
    assert list((server.home / "lost+found").glob(f"*{stray.name}")), "nothing is deleted"
    assert json.loads(llmos("doctor", "--json").stdout)["problems"] == []
    assert status(server, name) == 200


def age(folder: Path) -> None:
    import os

    os.utime(folder, (0, 0))
