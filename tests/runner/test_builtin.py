"""The runner beside the hub: registered once, trusted, its token private; removed means removed."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from llmos.cli.builtin_runner import is_wanted, prepare, write_config
from llmos.core import clock
from llmos.features.accounts.models import User
from llmos.features.jobs.models import Runner
from llmos.infra.runtime import Runtime
from llmos.infra.settings import Settings
from llmos.runner.__main__ import read_options


def runners(rt: Runtime) -> list[Runner]:
    with rt.database.reading() as db:
        return list(db.scalars(select(Runner)).unique())


def test_without_an_admin_it_waits(rt: Runtime) -> None:
    assert prepare(rt) == "no admin"
    assert runners(rt) == []


def test_it_registers_once(rt: Runtime, tokens: dict[str, str]) -> None:
    assert prepare(rt) == "ready"
    assert prepare(rt) == "ready"
    [found] = runners(rt)
    assert (found.name, found.scope, found.is_trusted) == ("built-in", "instance", True)
    file = rt.settings.home / "secrets" / "runner_token"
    assert file.stat().st_mode & 0o777 == 0o600
    config = write_config(rt.settings)
    assert config.stat().st_mode & 0o777 == 0o600
    assert file.read_text().strip() not in config.read_text()
    options = read_options(config)
    assert options.token == file.read_text().strip()
    assert rt.settings.home in options.hide
    assert json.loads(config.read_text())["url"] == f"http://127.0.0.1:{rt.settings.port}"


def test_removed_by_an_admin_it_stays_removed(rt: Runtime, tokens: dict[str, str]) -> None:
    prepare(rt)
    with rt.database.writing() as db:
        runner = db.scalars(select(Runner)).unique().one()
        runner.revoked_at = runner.created_at
    assert prepare(rt) == "removed"
    (rt.settings.home / "secrets" / "runner_token").unlink()
    assert prepare(rt) == "ready"
    assert len(runners(rt)) == 2


def test_a_disabled_admin_owns_no_machine(rt: Runtime, tokens: dict[str, str]) -> None:
    with rt.database.writing() as db:
        for user in db.scalars(select(User).where(User.is_admin.is_(True))).unique():
            user.disabled_at = clock.now()
    assert prepare(rt) == "no admin"


@pytest.mark.parametrize(
    ("runner", "extras", "wanted"),
    [("auto", "all", True), ("auto", "hub", False), ("on", "hub", True), ("off", "all", False)],
)
def test_when_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, runner: str, extras: str, *, wanted: bool
) -> None:
    monkeypatch.setenv("LLMOS_EXTRAS", extras)
    monkeypatch.setenv("LLMOS_RUNNER", runner)
    assert is_wanted(Settings()) is wanted
