"""Xorbs and shards on their way in (Xet protocol, upload)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import orjson
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from llmos.core.errors import BadRequest, LlmosError, NotFound, QuotaExceeded, TooLarge, Unavailable
from llmos.features.accounts.models import Namespace
from llmos.features.repos.claims import check_room
from llmos.features.storage.xet.grants import commit_grant, offer_grant
from llmos.features.storage.xet.shards import register_shard
from llmos.features.storage.xet.xorbs import XorbUpload, offer_known
from llmos.infra.runtime import Runtime
from llmos.infra.web.bodies import iter_body, read_body
from llmos.infra.web.deps import RuntimeDep
from llmos.infra.xet.chunks import MAX_XORB_BYTES
from llmos.infra.xet.shard import MAX_SHARD_BYTES
from llmos.protocols.xet.reach import give_files
from llmos.protocols.xet.rights import access_scope
from llmos.protocols.xet.tokens import XetAccess

T = TypeVar("T")

MAX_GRANT_BODY_BYTES = 4096
MAX_UPLOADS = 16
MAX_SHARDS = 2
WAIT_S = 60.0
# Well under the 300 s after which clients give up on a silent answer.
HEARTBEAT_S = 5.0
MAX_WAITING_BYTES = 128 * 1024 * 1024
_BATCH_BYTES = 1024 * 1024
_MAX_PENDING_BYTES = 4 * _BATCH_BYTES

# Checking is processor work: more threads than processors would only slow other requests down.
_checkers = ThreadPoolExecutor(max(2, os.cpu_count() or 2), "xet-xorb")
_registrars = ThreadPoolExecutor(MAX_SHARDS, "xet-shard")


class _Slots:
    """At most so many at once in this process; who waits too long is asked to come back."""

    def __init__(self, count: int, what: str) -> None:
        self._count = count
        self._what = what
        self._by_loop: WeakKeyDictionary[Any, asyncio.Semaphore] = WeakKeyDictionary()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        slots = self._by_loop.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self._count))
        try:
            await asyncio.wait_for(slots.acquire(), WAIT_S)
        except TimeoutError as error:
            raise Unavailable(
                f"Too many {self._what} are arriving at once: try again in a moment.",
                data={"retry_after_s": 5},
            ) from error
        try:
            yield
        finally:
            slots.release()


_xorb_slots = _Slots(MAX_UPLOADS, "xorbs")
_shard_slots = _Slots(MAX_SHARDS, "shards")


def _in(pool: ThreadPoolExecutor, fn: Callable[..., T], *args: Any) -> asyncio.Future[T]:
    return asyncio.get_running_loop().run_in_executor(pool, fn, *args)


def check_announced(request: Request, limit_bytes: int, what: str) -> int:
    """The announced length, at least 1; TooLarge before a byte is read where it is too much."""
    announced = request.headers.get("content-length", "0")
    size_bytes = int(announced) if announced.isdecimal() and len(announced) < 30 else 1
    if size_bytes > limit_bytes or len(announced) >= 30:
        raise TooLarge(f"{what} has at most {limit_bytes} bytes; {announced[:30]} were announced.")
    return max(size_bytes, 1)


async def post_xorb(request: Request, rt: RuntimeDep, xorb_hash: str) -> Response:
    """Take one xorb; 200 once it is verified and durable."""
    access, scope_id = await run_in_threadpool(access_scope, rt, request)
    announced_bytes = check_announced(request, MAX_XORB_BYTES, "A xorb")
    await run_in_threadpool(_check_room, rt, access, announced_bytes)
    async with _xorb_slots.taken():
        inserted = await _receive_xorb(rt, request, xorb_hash, scope_id)
    return Response(orjson.dumps({"was_inserted": inserted}), media_type="application/json")


async def _receive_xorb(rt: Runtime, request: Request, xorb_hash: str, scope_id: int) -> bool:
    """Check in a thread what has come while the next pieces arrive."""
    with XorbUpload(rt, xorb_hash, scope_id) as upload:
        work: asyncio.Future[None] | None = None
        pending: list[bytes] = []
        pending_bytes = 0
        try:
            async for piece in iter_body(request.receive):
                pending.append(piece)
                pending_bytes += len(piece)
                is_idle = work is None or work.done()
                if pending_bytes >= (_BATCH_BYTES if is_idle else _MAX_PENDING_BYTES):
                    if work is not None:
                        await work
                    work = _in(_checkers, upload.feed, b"".join(pending))
                    pending, pending_bytes = [], 0
            if work is not None:
                await work
            work = _in(_checkers, upload.feed, b"".join(pending))
            await work
            return await _in(_checkers, upload.finish)
        finally:
            if work is not None and not work.done():
                # The file must not be closed under the thread that writes it.
                await asyncio.wait({work})


async def post_xorb_grant(request: Request, rt: RuntimeDep, xorb_hash: str) -> Response:
    """200 if the namespace has this xorb, so that it need not be sent. 201 with a link to put it
    straight into the object store; 404 where the store gives no links: post it here then."""
    access, scope_id = await run_in_threadpool(access_scope, rt, request)
    body = await read_body(request.receive, limit_bytes=MAX_GRANT_BODY_BYTES, what="The grant request")
    size_bytes = _granted_bytes(body)
    if await run_in_threadpool(offer_known, rt, xorb_hash, scope_id):
        return Response(b"{}", media_type="application/json")
    grant = None
    # Of a refused grant the client shows the address alone, of a refused xorb the reason.
    with contextlib.suppress(QuotaExceeded):
        if size_bytes is not None:
            await run_in_threadpool(_check_room, rt, access, size_bytes)
            grant = offer_grant(rt, xorb_hash, scope_id, size_bytes)
    if grant is None:
        raise NotFound("No upload grants are given out: post the xorb to v1/xorbs.")
    shown = {"id": grant.grant_id, "method": "PUT", "url": grant.url, "headers": {}}
    return Response(orjson.dumps(shown), 201, media_type="application/json")


def _granted_bytes(body: bytes) -> int | None:
    """The size that a client wants to put, if it says so. Its checksum is not needed: every chunk is
    hashed."""
    try:
        asked = orjson.loads(body) if body else None
    except orjson.JSONDecodeError as error:
        raise BadRequest("The grant request must be JSON: {length, checksum}.") from error
    if asked is None:
        return None
    length = asked.get("length") if isinstance(asked, dict) else None
    if type(length) is not int or length < 1:
        raise BadRequest("length: the size of the xorb in bytes, a positive integer.")
    if length > MAX_XORB_BYTES:
        raise TooLarge(f"length: a xorb has at most {MAX_XORB_BYTES} bytes.")
    return length


async def post_xorb_commit(request: Request, rt: RuntimeDep, xorb_hash: str, grant_id: str) -> Response:
    """Check and keep what was put under a grant; 404 where nothing was."""
    _, scope_id = await run_in_threadpool(access_scope, rt, request)
    async with _xorb_slots.taken():
        inserted = await _in(_checkers, commit_grant, rt, xorb_hash, scope_id, grant_id)
    return Response(orjson.dumps({"was_inserted": inserted}), media_type="application/json")


def _check_room(rt: Runtime, access: XetAccess, adding_bytes: int) -> None:
    """QuotaExceeded before anything is sent that the namespace has no room for.

    The server itself only moves what is counted already.
    """
    if access.holder is None:
        return
    with rt.database.reading() as db:
        namespace = db.get(Namespace, access.scope_id)
        if namespace is not None:
            check_room(db, rt.settings, namespace, adding_bytes)


async def post_shard_v1(request: Request, rt: RuntimeDep) -> Response:
    """Register a shard; the answer comes when all its files are proved."""
    access, scope_id = await run_in_threadpool(access_scope, rt, request)
    body = await _read_shard(request)
    await _in(_registrars, _Registration(rt, access, scope_id, body).run)
    return Response(orjson.dumps({"result": 1}), media_type="application/json")


async def post_shard_v2(request: Request, rt: RuntimeDep) -> Response:
    """Register a shard; lines of JSON tell of progress, and at last of `result` or `error`."""
    access, scope_id = await run_in_threadpool(access_scope, rt, request)
    registration = _Registration(rt, access, scope_id, await _read_shard(request))
    work = _in(_registrars, registration.run)
    return StreamingResponse(_events(registration, work), media_type="application/x-ndjson")


async def _read_shard(request: Request) -> bytes:
    check_announced(request, MAX_SHARD_BYTES, "A shard")
    if _waiting.size_bytes > MAX_WAITING_BYTES:
        raise Unavailable("Too many shards are being registered: try again in a moment.")
    async with _shard_slots.taken():
        return await read_body(request.receive, limit_bytes=MAX_SHARD_BYTES, what="The shard")


class _Waiting:
    """Shards in memory whose registration is not over."""

    size_bytes = 0


_waiting = _Waiting()


class _Registration:
    """One shard being registered in a thread, with counters that others may read meanwhile."""

    def __init__(self, rt: Runtime, access: XetAccess, scope_id: int, body: bytes) -> None:
        self._rt = rt
        self._access = access
        self._scope_id = scope_id
        self._body = body
        self._proved_bytes = 0
        self._hashed_bytes = 0
        self._total_bytes = 0
        _waiting.size_bytes += len(body)

    def run(self) -> None:
        try:
            files = register_shard(self._rt, self._body, self._scope_id, self._on_proved)
            give_files(self._rt, self._access, files, self._on_hashed)
        finally:
            _waiting.size_bytes -= len(self._body)

    def _on_proved(self, done_bytes: int, total_bytes: int) -> None:
        self._proved_bytes, self._total_bytes = done_bytes, total_bytes

    def _on_hashed(self, step_bytes: int) -> None:
        self._hashed_bytes += step_bytes

    def progress(self) -> dict[str, Any]:
        verified = (self._proved_bytes + self._hashed_bytes) // 2
        return {"type": "validating", "verified": verified, "total": self._total_bytes}


async def _events(registration: _Registration, work: asyncio.Future[None]) -> AsyncIterator[bytes]:
    while not (await asyncio.wait({work}, timeout=HEARTBEAT_S))[0]:
        yield orjson.dumps(registration.progress(), option=orjson.OPT_APPEND_NEWLINE)
    yield orjson.dumps(_outcome(work), option=orjson.OPT_APPEND_NEWLINE)


def _outcome(work: asyncio.Future[None]) -> dict[str, Any]:
    try:
        work.result()
    except LlmosError as error:
        # The client shows this message to its user; that of a plain 400 it hides.
        return {"type": "error", "message": error.message, "retryable": error.status >= 500}
    return {"type": "result", "result": 1}
