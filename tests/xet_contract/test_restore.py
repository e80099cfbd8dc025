"""A store that lost chunks which a client still remembers: after a restore, and without one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kit.databases import Databases
from kit.people import add_people
from kit.programs import client_env, run
from kit.server import live_server
from llmos.app.backup import backup, restore
from llmos.infra.runtime import open_runtime
from llmos.infra.settings import Settings
from xet_contract.conftest import sample
from xet_contract.relay import relaying

MIB = 1024 * 1024


@pytest.fixture
def settings(tmp_path: Path, _databases: Databases) -> dict[str, dict[str, str]]:
    """By folder, what names the database: one with the schema, and one with nothing."""
    return {"home": _databases.fill(tmp_path / "home"), "fresh": _databases.empty()}


def test_restored_store_has_an_address_of_its_own(
    tmp_path: Path, settings: dict[str, dict[str, str]]
) -> None:
    """The same client, at the same address, with the caches it has filled in between."""
    home, fresh, saved = tmp_path / "home", tmp_path / "fresh", tmp_path / "saved"
    extra, elsewhere = settings["home"], settings["fresh"]
    rt = open_runtime(Settings(home=home, **extra))
    tokens = add_people(rt)
    backup(rt, saved, lambda step: None)
    rt.close()
    path, folder = tmp_path / "model.bin", tmp_path / "client"
    path.write_bytes(sample("noise", 3 * MIB, seed=40))
    folder.mkdir()
    with relaying(0) as relay:

        def upload(*, check: bool = True) -> str:
            env = client_env(server, folder, HF_ENDPOINT=relay.url)
            done = run(["hf", "upload", "ada/tiny-llm", str(path), "model.bin"], env, check=check)
            return done.stdout + done.stderr

        with live_server(home, **extra) as server:
            relay.port = server.port
            server.tokens.update(tokens)
            upload()
        restore(Settings(home=fresh, **elsewhere), saved, lambda step: None)
        epoch = (fresh / "cas_epoch").rename(tmp_path / "epoch")
        with live_server(fresh, **elsewhere) as server:
            relay.port = server.port
            server.tokens.update(tokens)
            said = upload(check=False)
            assert "delete the folder" in said, said  # how to mend it is told where nothing else does
            shutil.copy(epoch, fresh / "cas_epoch")
            upload()
            env = client_env(server, folder)
            found = run(["hf", "download", "ada/tiny-llm", "model.bin", "--quiet"], env).stdout.strip()
            assert Path(found.removeprefix("path=")).read_bytes() == path.read_bytes()
