"""LFS file locking API (git-lfs API docs, `locking.md`)."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from llmos.core import clock
from llmos.core.errors import BadRequest, NotFound
from llmos.core.pagination import Page, check_limit
from llmos.features.repos.locks import LockExists, LockFilter, create_lock, delete_lock, list_locks
from llmos.features.repos.models import LfsLock
from llmos.features.repos.policy import check_write
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.git.lfs_common import (
    LfsCall,
    LfsMessage,
    LfsRef,
    add_lfs_route,
    lfs_response,
    read_message,
)

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
_LOCK_ID = re.compile(r"[1-9][0-9]{0,17}\Z", re.ASCII)


class CreateLock(LfsMessage):
    path: str
    ref: LfsRef | None = None


class VerifyLocks(LfsMessage):
    ref: LfsRef | None = None
    cursor: str | None = None
    limit: int | None = Field(None, le=2**31)


class Unlock(LfsMessage):
    force: bool = False
    ref: LfsRef | None = None


def _lock_json(lock: LfsLock) -> dict[str, Any]:
    return {
        "id": str(lock.id),
        "path": lock.path,
        "locked_at": clock.to_json(lock.locked_at),
        "owner": {"name": lock.owner.name},
    }


def _lock_id(text: str) -> int:
    if not _LOCK_ID.match(text):
        raise NotFound("There is no lock with this id in this repository.")
    return int(text)


async def _create(call: LfsCall) -> Response:
    await call.check_visible()
    asked = await read_message(call.request, CreateLock)

    def work() -> Response:
        with call.rt.database.writing() as db:
            ref = asked.ref.name if asked.ref else None
            try:
                lock = create_lock(db, call.actor, call.repo(db), asked.path, ref)
            except LockExists as held:
                return lfs_response({"lock": _lock_json(held.lock), "message": held.message}, 409)
            return lfs_response({"lock": _lock_json(lock)}, 201)

    return await run_in_threadpool(work)


def _filter(call: LfsCall) -> LockFilter:
    query = call.request.query_params
    lock_id = query.get("id")
    return LockFilter(
        path=query.get("path") or None,
        lock_id=_lock_id(lock_id) if lock_id else None,
        ref=query.get("refspec") or None,
    )


def _limit(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise BadRequest("limit must be a whole number, 1 or more.")
    return int(text)


async def _list(call: LfsCall) -> Response:
    query = call.request.query_params
    limit = check_limit(_limit(query.get("limit")), default=DEFAULT_LIMIT, maximum=MAX_LIMIT)

    def work() -> Response:
        with call.rt.database.reading() as db:
            page = list_locks(db, call.repo(db), _filter(call), cursor=query.get("cursor"), limit=limit)
            return lfs_response(_next(page) | {"locks": [_lock_json(lock) for lock in page.items]})

    return await run_in_threadpool(work)


def _next(page: Page[LfsLock]) -> dict[str, Any]:
    return {"next_cursor": page.next_cursor} if page.next_cursor else {}


async def _verify(call: LfsCall) -> Response:
    await call.check_visible()
    asked = await read_message(call.request, VerifyLocks)
    limit = check_limit(asked.limit or None, default=DEFAULT_LIMIT, maximum=MAX_LIMIT)

    def work() -> Response:
        with call.rt.database.reading() as db:
            return lfs_response(_split(db, call, asked, limit))

    return await run_in_threadpool(work)


def _split(db: Session, call: LfsCall, asked: VerifyLocks, limit: int) -> dict[str, Any]:
    repo = call.repo(db)
    check_write(call.actor, repo)
    wanted = LockFilter(ref=asked.ref.name if asked.ref else None)
    page = list_locks(db, repo, wanted, cursor=asked.cursor or None, limit=limit)
    mine = call.actor.user_id
    return _next(page) | {
        "ours": [_lock_json(lock) for lock in page.items if lock.owner_id == mine],
        "theirs": [_lock_json(lock) for lock in page.items if lock.owner_id != mine],
    }


async def _unlock(call: LfsCall) -> Response:
    await call.check_visible()
    lock_id = _lock_id(call.request.path_params["lock_id"])
    asked = await read_message(call.request, Unlock)

    def work() -> Response:
        with call.rt.database.writing() as db:
            lock = delete_lock(db, call.actor, call.repo(db), lock_id, force=asked.force)
            return lfs_response({"lock": _lock_json(lock)})

    return await run_in_threadpool(work)


router = Router(tags=["lfs"])
add_lfs_route(router, "POST", "/locks", _create)
add_lfs_route(router, "GET", "/locks", _list)
add_lfs_route(router, "POST", "/locks/verify", _verify)
add_lfs_route(router, "POST", "/locks/{lock_id:seg}/unlock", _unlock)
