"""Schedules as the background process runs them, with the rights their maker has then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from features.jobs.conftest import Hub
from llmos.core import clock
from llmos.core.errors import LlmosError
from llmos.features.accounts.models import Membership, User
from llmos.features.accounts.policy import get_namespace
from llmos.features.jobs.models import Job, Schedule
from llmos.features.jobs.requests import parse_request
from llmos.features.jobs.schedules import create_schedule, run_due


def _schedule(hub: Hub, owner: str = "ada", person: str = "ada", **options: Any) -> int:
    with hub.rt.database.writing() as db:
        namespace = get_namespace(db, owner)
        assert namespace is not None
        request = parse_request({"command": ["true"], "secrets": {"K": "v"}})
        return create_schedule(db, hub.rt, hub.actor(person), namespace, request, "@daily", **options).id


def _change(hub: Hub, schedule_id: int, **values: Any) -> Schedule:
    with hub.rt.database.writing() as db:
        found = db.get_one(Schedule, schedule_id)
        for name, value in values.items():
            setattr(found, name, value)
        return found


def _jobs(hub: Hub) -> list[Job]:
    with hub.rt.database.reading() as db:
        return db.query(Job).order_by(Job.id).all()


def test_a_schedule_that_is_due_starts_one_job(hub: Hub) -> None:
    schedule_id = _schedule(hub)
    assert run_due(hub.rt) == 0
    _change(hub, schedule_id, next_at=clock.now() - timedelta(days=3))
    assert run_due(hub.rt) == 1, "what was missed is made up for once"
    assert run_due(hub.rt) == 0
    assert _change(hub, schedule_id).next_at > clock.now()  # type: ignore[operator]
    _change(hub, schedule_id, next_at=clock.now())
    assert run_due(hub.rt) == 0, "its last job has not ended"
    _change(hub, schedule_id, next_at=clock.now(), may_overlap=True)
    assert run_due(hub.rt) == 1
    _change(hub, schedule_id, next_at=clock.now(), is_suspended=True)
    assert run_due(hub.rt) == 0
    assert len(_jobs(hub)) == 2
    assert hub.runner().claim()["secrets"] == {"K": "v"}  # type: ignore[index]


def test_a_schedule_of_somebody_without_rights_starts_nothing(hub: Hub) -> None:
    schedule_id = _schedule(hub, "lab")
    with hub.rt.database.writing() as db:
        db.query(Membership).delete()
    _change(hub, schedule_id, next_at=clock.now())
    assert run_due(hub.rt) == 0
    assert _jobs(hub) == []


def test_a_disabled_person_starts_nothing(hub: Hub) -> None:
    schedule_id = _schedule(hub)
    with hub.rt.database.writing() as db:
        db.query(User).update({User.disabled_at: clock.now()})
    _change(hub, schedule_id, next_at=clock.now())
    assert run_due(hub.rt) == 0
    assert _change(hub, schedule_id).is_suspended


def test_nobody_schedules_for_others(hub: Hub) -> None:
    with pytest.raises(LlmosError):
        _schedule(hub, "ada", "grace")
