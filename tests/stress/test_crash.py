"""Kill the server at random points of many writes: after a restart all is before or after."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from kit.people import add_people
from kit.programs import client_env
from kit.server import LiveServer, live_server
from llmos.features.repos.push import reconcile
from llmos.features.repos.repair import find_problems
from llmos.infra.runtime import open_runtime
from llmos.infra.settings import Settings

pytestmark = pytest.mark.slow

ROUNDS = 20
FILES_PER_COMMIT = 12


@dataclass
class Told:
    """What the server has answered to be done; `moved` and `deleted` map a name to the last answer."""

    commits: set[int] = field(default_factory=set)
    uploads: list[bytes] = field(default_factory=list)
    moved: dict[int, str] = field(default_factory=dict)
    deleted: dict[int, str] = field(default_factory=dict)
    pushed: dict[str, str] = field(default_factory=dict)


class Writer:
    """Does one write of each kind, in a random order, until the server is gone."""

    def __init__(self, server: LiveServer, turn: int, told: Told, clone: Path, dice: random.Random) -> None:
        self.server, self.turn, self.told, self.clone = server, turn, told, clone
        self.http = httpx.Client(base_url=server.url, headers=auth(server), timeout=30)
        self.kinds: list[Callable[[], None]] = [self.commit, self.upload, self.move, self.delete, self.push]
        dice.shuffle(self.kinds)
        self.finished = 0
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        with self.http:
            for kind in self.kinds:
                try:
                    kind()
                except httpx.TransportError:
                    return
                self.finished += 1

    def wait_for(self, count: int) -> None:
        """Return when so many writes are over, however slow the machine is."""
        while self.finished < count and self.thread.is_alive():
            time.sleep(0.005)

    def _create(self, name: str) -> bool:
        return self.http.post("/api/repos/create", json={"name": name}).status_code == 200

    def commit(self) -> None:
        answer = self.http.post("/api/models/ada/crash/commit/main", content=commit_lines(self.turn))
        if answer.status_code == 200:
            self.told.commits.add(self.turn)

    def upload(self) -> None:
        data = random.Random(self.turn).randbytes(300_000)
        answer = batch(self.http, "upload", data)
        href = answer["actions"]["upload"]["href"]
        if httpx.put(href, content=data, timeout=30).status_code == 200:
            self.told.uploads.append(data)

    def move(self) -> None:
        self.told.moved[self.turn] = "unknown"
        if self._create(f"from-{self.turn}"):
            self.told.moved[self.turn] = "created"
            body = {"fromRepo": f"ada/from-{self.turn}", "toRepo": f"ada/to-{self.turn}", "type": "model"}
            if self.http.post("/api/repos/move", json=body).status_code == 200:
                self.told.moved[self.turn] = "moved"

    def delete(self) -> None:
        self.told.deleted[self.turn] = "unknown"
        if self._create(f"gone-{self.turn}"):
            self.told.deleted[self.turn] = "created"
            body = {"name": f"ada/gone-{self.turn}"}
            if self.http.request("DELETE", "/api/repos/delete", json=body).status_code == 200:
                self.told.deleted[self.turn] = "deleted"

    def push(self) -> None:
        (self.clone / f"{self.turn}.txt").write_text("x" * 100_000)
        branch = f"p{self.turn}"
        for command in (["add", "."], ["commit", "-qm", "Push"]):
            git(self.server, self.clone, *command)
        done = git(self.server, self.clone, "push", "-q", remote(self.server), f"HEAD:refs/heads/{branch}")
        if done.returncode == 0:
            head = git(self.server, self.clone, "rev-parse", "HEAD").stdout.strip()
            self.told.pushed[branch] = head


def auth(server: LiveServer) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.tokens['ada']}"}


def remote(server: LiveServer) -> str:
    return f"{server.url.replace('://', '://ada:' + server.tokens['ada'] + '@')}/ada/crash"


def git(server: LiveServer, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = client_env(server, folder.parent) | {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Ada"), ("EMAIL", "ada@example.org"))
    }
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def batch(http: httpx.Client, operation: str, data: bytes) -> dict[str, dict[str, dict[str, str]]]:
    wanted = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
    body = {"operation": operation, "objects": [wanted]}
    answer = http.post("/ada/crash.git/info/lfs/objects/batch", json=body).raise_for_status()
    found: dict[str, dict[str, dict[str, str]]] = answer.json()["objects"][0]
    return found


def commit_lines(number: int) -> bytes:
    lines: list[dict[str, object]] = [
        {"key": "header", "value": {"summary": f"write {number}", "description": ""}}
    ]
    lines += [
        {"key": "file", "value": {"path": f"w/{number}/{part}.txt", "content": f"{number}-{part}"}}
        for part in range(FILES_PER_COMMIT)
    ]
    return b"\n".join(json.dumps(line).encode() for line in lines)


def kill_hard(process: subprocess.Popen[bytes]) -> None:
    family = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
    for pid in [process.pid, *map(int, family.stdout.split())]:
        with contextlib.suppress(ProcessLookupError):  # a git of it may have ended meanwhile
            os.kill(pid, signal.SIGKILL)


def test_a_hundred_writes_survive_sudden_death(tmp_path: Path, database: dict[str, str]) -> None:
    home = tmp_path / "home"
    runtime = open_runtime(Settings(home=home, **database))
    tokens = add_people(runtime)
    dice = random.Random(20)
    told = Told()
    clone = tmp_path / "clone"
    clone.mkdir()
    for turn in range(ROUNDS):
        with live_server(home, **database) as server:
            server.tokens.update(tokens)
            if turn == 0:
                body = {"name": "crash"}
                httpx.post(
                    f"{server.url}/api/repos/create", json=body, headers=auth(server)
                ).raise_for_status()
                git(server, clone, "init", "-q")
            writer = Writer(server, turn, told, clone, dice)
            writer.wait_for(dice.randrange(5))
            time.sleep(dice.uniform(0.0, 0.2))
            kill_hard(server.process)
            writer.thread.join()
        # A minute passes: what the dead have locked is free again.
        for lock in home.rglob("refs/**/*.lock"):
            os.utime(lock, (0, 0))
    reconcile(runtime)  # the worker's first act after a restart
    with live_server(home, **database) as server:
        server.tokens.update(tokens)
        with httpx.Client(base_url=server.url, headers=auth(server), timeout=30) as http:
            check_commits(http, told)
            check_names(http, told)
            check_uploads(http, told)
            check_pushes(http, told)
        again = tmp_path / "again"
        assert git(server, tmp_path, "clone", "-q", remote(server), str(again)).returncode == 0
        fsck = git(server, again, "fsck", "--full")
        assert fsck.returncode == 0, fsck.stderr
    assert not [problem for problem in find_problems(runtime, repair=True) if not problem.mended]
    assert not list(find_problems(runtime, repair=True))
    runtime.close()
    assert len(told.commits) + len(told.uploads) + len(told.pushed) > ROUNDS, "the test has tested nothing"


def check_commits(http: httpx.Client, told: Told) -> None:
    tree = http.get("/api/models/ada/crash/tree/main/w?recursive=true&limit=5000").raise_for_status()
    whole: dict[str, int] = {}
    for entry in tree.json():
        if entry["type"] == "file":
            number = entry["path"].split("/")[1]
            whole[number] = whole.get(number, 0) + 1
    assert set(whole.values()) <= {FILES_PER_COMMIT}, "a write is there in part"
    assert {str(number) for number in told.commits} <= set(whole), "an acknowledged write is lost"
    refs = http.get("/api/models/ada/crash/refs").json()
    heads = {branch["name"]: branch["targetCommit"] for branch in refs["branches"]}
    assert http.get("/api/models/ada/crash").json()["sha"] == heads["main"]


def check_names(http: httpx.Client, told: Told) -> None:
    for number, state in told.moved.items():
        old, new = (http.get(f"/api/models/ada/{name}-{number}").status_code for name in ("from", "to"))
        assert (old, new) in {(200, 404), (307, 200), (404, 404)}, (number, old, new)
        assert new == 200 or state != "moved", "an acknowledged move is lost"
        assert (old, new) != (404, 404) or state == "unknown", "an acknowledged repository is lost"
    for number, state in told.deleted.items():
        status = http.get(f"/api/models/ada/gone-{number}").status_code
        assert status in {"deleted": {404}, "created": {200, 404}, "unknown": {200, 404}}[state]
        if status == 200:
            assert http.get(f"/api/models/ada/gone-{number}/tree/main").status_code == 200


def check_uploads(http: httpx.Client, told: Told) -> None:
    for data in told.uploads:
        href = batch(http, "download", data)["actions"]["download"]["href"]
        assert httpx.get(href, timeout=30).content == data


def check_pushes(http: httpx.Client, told: Told) -> None:
    refs = http.get("/api/models/ada/crash/refs").json()
    heads = {branch["name"]: branch["targetCommit"] for branch in refs["branches"]}
    for branch, head in told.pushed.items():
        assert heads[branch] == head
    for branch in heads:
        assert http.get(f"/api/models/ada/crash/commits/{branch}").status_code == 200
