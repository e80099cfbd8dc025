"""The server is killed in the middle of uploads; nothing stored is wrong afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from kit.people import add_people
from kit.programs import client_env, run
from kit.server import LiveServer, live_server
from llmos.features.storage.xet.models import XetFile, XetXorb
from llmos.features.storage.xet.scrub import scrub
from llmos.features.storage.xet.tables import unpack_terms, xorbs_of
from llmos.infra.runtime import open_runtime
from llmos.infra.settings import Settings
from xet_contract.conftest import sample

MIB = 1024 * 1024


def kill_tree(server: LiveServer) -> None:
    """kill -9 of the server and its workers, all at once."""
    main = server.process.pid
    children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    for pid in [main, *map(int, children)]:
        os.kill(pid, signal.SIGKILL)
    server.process.wait()


def check_store(home: Path, **extra: str) -> None:
    """Every row has its whole object, every file all its xorbs."""
    rt = open_runtime(Settings(home=home, **extra))
    try:
        with rt.database.reading() as db:
            stored = set(db.scalars(select(XetXorb.xorb_hash)))
            for file in db.scalars(select(XetFile)):
                assert set(xorbs_of(unpack_terms(file.terms))) <= stored
        for name in stored:
            with rt.database.writing() as db:
                db.get_one(XetXorb, name).scrubbed_at = None
        assert scrub(rt).damaged == []
    finally:
        rt.close()


@pytest.mark.slow
def test_kill_during_uploads(tmp_path: Path, database: dict[str, str]) -> None:
    home = tmp_path / "home"
    rt = open_runtime(Settings(home=home, **database))
    tokens = add_people(rt)
    rt.close()
    path = tmp_path / "model.bin"
    path.write_bytes(sample("noise", 100 * MIB))
    upload = ["hf", "upload", "ada/tiny-llm", str(path), "model.bin"]
    for round_number in range(5):
        with live_server(home, **database) as server:
            server.tokens.update(tokens)
            folder = tmp_path / f"client-{round_number}"
            folder.mkdir()
            client = subprocess.Popen(
                upload,
                env=client_env(server, folder),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            grown = wait_for_bytes(home, round_number * 24 * MIB)
            kill_tree(server)
            client.kill()
            client.wait()
        check_store(home, **database)
        if not grown:
            break
    with live_server(home, **database) as server:
        server.tokens.update(tokens)
        folder = tmp_path / "last"
        folder.mkdir()
        env = client_env(server, folder)
        run(upload, env)
        found = run(["hf", "download", "ada/tiny-llm", "model.bin", "--quiet"], env).stdout.strip()
        assert Path(found.removeprefix("path=")).read_bytes() == path.read_bytes()
    check_store(home, **database)


def wait_for_bytes(home: Path, size_bytes: int) -> bool:
    """Until so many bytes of chunks have arrived, stored or not; False if that takes too long."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        paths = [*(home / "tmp").glob("xorb-*"), *(home / "objects" / "xorbs").rglob("*")]
        total = 0
        for path in paths:
            try:
                total += path.stat().st_size if path.is_file() else 0
            except FileNotFoundError:
                continue
        if total > size_bytes:
            return True
        time.sleep(0.002)
    return False
