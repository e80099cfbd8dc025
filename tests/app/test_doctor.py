"""`llmos doctor`: each thing that can be wrong is found, and says how to mend it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import delete, update

from kit.records import make_record
from llmos.app import doctor
from llmos.app.doctor import Finding, examine
from llmos.features.evals.instances import own_key
from llmos.features.evals.log import log_own_bundle
from llmos.features.evals.models import LogEntry
from llmos.infra.runtime import Runtime
from llmos.infra.security.instance_key import instance_key_path


def found(rt: Runtime, check: str) -> Finding:
    (finding,) = [item for item in examine(rt) if item.check == check]
    assert bool(finding.mend) == (finding.state != "ok"), "what is wrong says how to mend it"
    return finding


@pytest.fixture
def only_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds the only programs there are."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_all_is_well_on_a_new_instance(rt: Runtime) -> None:
    rt.settings.home.chmod(0o700)  # as a start makes it
    for check in ("git", "folder", "disk", "database", "clock", "secrets", "instance key", "LFS to chunks"):
        assert found(rt, check).state == "ok", check


def test_missing_programs(rt: Runtime, only_programs: Path) -> None:
    git, lfs, sandbox = (found(rt, name) for name in ("git", "git-lfs", "sandbox"))
    assert (git.state, git.mend) == ("fail", "apt-get install git")
    assert (lfs.state, lfs.mend) == ("warn", "apt-get install git-lfs")
    assert (sandbox.state, sandbox.mend) == ("warn", "apt-get install bubblewrap")


def test_a_sandbox_that_is_forbidden(rt: Runtime, only_programs: Path) -> None:
    program = only_programs / "bwrap"
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "No permissions" >&2; exit 1\n')
    program.chmod(0o755)
    sandbox = found(rt, "sandbox")
    assert (sandbox.state, "No permissions" in sandbox.detail) == ("warn", True)
    assert "userns" in sandbox.mend


def test_permissions(rt: Runtime) -> None:
    home = rt.settings.home
    home.chmod(0o755)
    assert (found(rt, "folder").state, found(rt, "folder").mend) == ("warn", f"chmod o-rwx {home}")
    home.chmod(0o700)
    secret = home / "secrets" / "secret_key"
    secret.chmod(0o644)
    assert (found(rt, "secrets").state, found(rt, "secrets").mend) == ("fail", f"chmod 600 {secret}")


def test_the_key_that_signs_records(rt: Runtime, tmp_path: Path) -> None:
    """Kept well, and the one its log was signed with."""
    path = instance_key_path(rt.settings)
    for number in range(2):
        made = make_record(tmp_path / str(number), seed=number, key=own_key(rt))
        log_own_bundle(rt, made.bundle)
    key = found(rt, "instance key")
    assert (key.state, key.detail[18:]) == ("ok", "2 records in the log")
    path.chmod(0o640)
    assert found(rt, "instance key").mend == f"chmod 600 {path}"
    path.unlink()
    key = found(rt, "instance key")
    assert (key.state, "is gone; it has signed 2 records" in key.detail) == ("fail", True)
    own_key(rt)  # makes another
    assert "the log was signed by" in found(rt, "instance key").detail
    path.write_text("no key")
    assert "cannot be read" in found(rt, "instance key").detail


def test_a_log_that_was_written_over(rt: Runtime, tmp_path: Path) -> None:
    for number in range(3):
        log_own_bundle(rt, make_record(tmp_path / str(number), seed=number, key=own_key(rt)).bundle)
    with rt.database.writing() as db:
        db.execute(update(LogEntry).where(LogEntry.leaf_index == 1).values(leaf_hash="0" * 64))
    assert "entry 1 of the log is gone or changed" in found(rt, "instance key").detail
    with rt.database.writing() as db:
        db.execute(delete(LogEntry).where(LogEntry.leaf_index == 0))
    assert "entry 0 of the log" in found(rt, "instance key").detail


@pytest.mark.parametrize(("limit", "state"), [("WARN_FREE_BYTES", "warn"), ("FAIL_FREE_BYTES", "fail")])
def test_a_full_disk(rt: Runtime, monkeypatch: pytest.MonkeyPatch, limit: str, state: str) -> None:
    monkeypatch.setattr(doctor, limit, 1 << 60)
    disk = found(rt, "disk")
    assert (disk.state, "llmos gc" in disk.mend) == (state, True)


def test_a_damaged_database(rt: Runtime) -> None:
    if not rt.database.is_sqlite:
        pytest.skip("a file is damaged here")
    path = rt.settings.home / "llmos.db"
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 9] = b"\xff" * 4096 * 6
    rt.close()
    path.write_bytes(data)
    for journal in rt.settings.home.glob("llmos.db-*"):
        journal.unlink()
    database = found(rt, "database")
    assert database.state == "fail"
    assert "LLMOS_DATABASE_URL" in database.mend or "restore" in database.mend
