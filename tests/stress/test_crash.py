"""Kill the server at random points of many writes: after a restart all is before or after."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from kit.people import add_people
from kit.programs import client_env
from kit.server import live_server
from llmos.app.schema import ensure_schema
from llmos.features.repos.push import reconcile
from llmos.features.repos.repair import find_problems
from llmos.infra.runtime import open_runtime
from llmos.infra.settings import Settings

pytestmark = pytest.mark.slow

ROUNDS = 25
WRITES_PER_ROUND = 4


def _ndjson(number: int) -> bytes:
    lines = [{"key": "header", "value": {"summary": f"write {number}", "description": ""}}]
    lines += [
        {
            "key": "file",
            "value": {"path": f"w/{number}/{part}.txt", "content": f"{number}-{part}", "encoding": "utf-8"},
        }
        for part in range(12)
    ]
    return "\n".join(json.dumps(line) for line in lines).encode()


def _write_until_killed(url: str, token: str, first: int, done: list[int]) -> None:
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=20) as client:
        for number in range(first, first + WRITES_PER_ROUND):
            try:
                answer = client.post(
                    "/api/models/ada/crash/commit/main",
                    content=_ndjson(number),
                    headers={"Content-Type": "application/x-ndjson"},
                )
            except httpx.TransportError:
                return
            if answer.status_code == 200:
                done.append(number)


def _kill_hard(process: subprocess.Popen[bytes]) -> None:
    family = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
    for pid in [process.pid, *map(int, family.stdout.split())]:
        try:
            subprocess.run(["kill", f"-{signal.SIGKILL.value}", str(pid)], check=False)
        except ProcessLookupError:
            continue


def test_a_hundred_writes_survive_sudden_death(tmp_path: Path) -> None:
    home = tmp_path / "home"
    runtime = open_runtime(Settings(home=home))
    ensure_schema(runtime)
    tokens = add_people(runtime)
    dice = random.Random(20)
    acknowledged: list[int] = []
    for turn in range(ROUNDS):
        with live_server(home) as server:
            server.tokens.update(tokens)
            if turn == 0:
                httpx.post(
                    f"{server.url}/api/repos/create",
                    json={"name": "crash"},
                    headers={"Authorization": f"Bearer {tokens['ada']}"},
                ).raise_for_status()
            first = turn * WRITES_PER_ROUND
            writer = threading.Thread(
                target=_write_until_killed, args=(server.url, tokens["ada"], first, acknowledged)
            )
            writer.start()
            time.sleep(dice.uniform(0.02, 0.6))
            _kill_hard(server.process)
            writer.join()
    reconcile(runtime)  # the worker's first act after a restart
    with live_server(home) as server:
        server.tokens.update(tokens)
        headers = {"Authorization": f"Bearer {tokens['ada']}"}
        tree = httpx.get(
            f"{server.url}/api/models/ada/crash/tree/main/w?recursive=true&limit=5000", headers=headers
        )
        whole: dict[str, int] = {}
        for entry in tree.json():
            if entry["type"] == "file":
                whole[entry["path"].split("/")[1]] = whole.get(entry["path"].split("/")[1], 0) + 1
        assert set(whole.values()) <= {12}, "a write is there in part"
        assert {str(number) for number in acknowledged} <= set(whole), "an acknowledged write is lost"
        info = httpx.get(f"{server.url}/api/models/ada/crash", headers=headers).json()
        refs = httpx.get(f"{server.url}/api/models/ada/crash/refs", headers=headers).json()
        assert info["sha"] == refs["branches"][0]["targetCommit"]
        clone = subprocess.run(
            [
                "git",
                "clone",
                "-q",
                f"{server.url.replace('://', '://ada:' + tokens['ada'] + '@')}/ada/crash",
                "c",
            ],
            cwd=tmp_path,
            env=client_env(server, tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        assert clone.returncode == 0, clone.stderr
        fsck = subprocess.run(
            ["git", "fsck", "--full"], cwd=tmp_path / "c", capture_output=True, text=True, check=False
        )
        assert fsck.returncode == 0, fsck.stderr
    left = [p for p in find_problems(runtime, repair=True) if not p.mended]
    assert not left
    assert not list(find_problems(runtime, repair=True))
    runtime.close()
