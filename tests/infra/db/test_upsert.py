"""Inserting what is missing tells how many rows were new, on the database of this run."""

from __future__ import annotations

from kit.people import add_people
from llmos.core.clock import now
from llmos.features.accounts.models import Follow
from llmos.infra.db.upsert import insert_missing
from llmos.infra.queue.outbox import OutboxEvent
from llmos.infra.runtime import Runtime


def test_new_rows_are_counted_where_the_key_is_given(rt: Runtime) -> None:
    add_people(rt)
    with rt.database.writing() as db:
        row = {"follower_id": 1, "namespace_id": 2, "created_at": now()}
        assert insert_missing(db, Follow, [row]) == 1
        assert insert_missing(db, Follow, [row]) == 0
        assert insert_missing(db, Follow, [row, row | {"namespace_id": 1}]) == 1


def test_new_rows_are_counted_where_the_database_numbers_them(rt: Runtime) -> None:
    row = {"topic": "Tested", "payload": {}, "attempts": 0, "created_at": now(), "available_at": now()}
    with rt.database.writing() as db:
        assert insert_missing(db, OutboxEvent, [row]) == 1
        assert insert_missing(db, OutboxEvent, [row, row]) == 2
