"""Hub protocol: the event feed of a bucket, server-sent events that clients follow live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response, StreamingResponse

from llmos.core import clock
from llmos.core.errors import BadRequest, LlmosError, Unavailable
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import resolve_actor
from llmos.features.buckets.changes import Mark, last_mark, list_changes, mark_since, parse_mark
from llmos.features.buckets.models import BucketChange
from llmos.features.buckets.policy import access_bucket
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import RuntimeDep, run_read
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.hf.answers import drop_none
from llmos.protocols.hf.buckets import BUCKET_API

router = Router(tags=["buckets"])

POLL_S = 1.0
PING_S = 20.0
# The reader comes back with its cursor, and its rights are looked at anew.
SESSION_S = 300.0
MAX_FOLLOWERS = 200


class _Followers:
    """How many streams this process holds open."""

    count = 0


@router.get(BUCKET_API + "/events")
async def get_bucket_events(request: Request, rt: RuntimeDep, namespace: str, name: str) -> Response:
    """`ready`, `changes`, `reset` and `reconnect`, from `cursor`, from the instant `since`, or from now on.

    A place older than seven days is answered by `reset`: the bucket has to be listed anew.
    """
    actor = await resolve_actor(rt, request)
    cursor, since = request.query_params.get("cursor"), request.query_params.get("since")

    def begin(db: Session) -> tuple[int, Mark]:
        bucket = access_bucket(db, actor, namespace, name)
        if cursor:
            return bucket.id, parse_mark(cursor)
        if since:
            return bucket.id, mark_since(db, bucket.id, _instant(since))
        return bucket.id, last_mark(db, bucket.id)

    bucket_id, mark = await run_read(rt, begin)
    if _Followers.count >= MAX_FOLLOWERS:
        raise Unavailable(lazy("Too many readers follow buckets at this moment: try again later."))
    stream = _follow(rt, actor, (namespace, name), bucket_id, mark)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text.replace(" ", "+"))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadRequest(lazy("since must be a time such as 2026-11-22T10:00:00Z.")) from error


async def _follow(
    rt: Runtime, actor: Actor, name: tuple[str, str], bucket_id: int, mark: Mark
) -> AsyncIterator[bytes]:
    if mark.is_too_old:
        yield _event("reset", {"reason": "The place is older than what is kept."})
        return
    _Followers.count += 1
    is_ready, started = False, time.monotonic()
    heard_at = started
    try:
        while time.monotonic() - started < SESSION_S:
            try:
                changes, mark = await run_read(rt, _next(actor, name, bucket_id, mark))
            except LlmosError:
                break  # deleted, moved or no longer theirs: asking again tells them which
            if changes:
                heard_at = time.monotonic()
                yield _event("changes", {"cursor": mark.encode(), "changes": changes})
                continue
            if not is_ready:
                is_ready = True
                yield _event("ready", {"cursor": mark.encode()})
            elif time.monotonic() - heard_at > PING_S:
                heard_at = time.monotonic()
                yield b": ping\n\n"
            await asyncio.sleep(POLL_S)
        yield _event("reconnect", {"cursor": mark.encode()})
    finally:
        _Followers.count -= 1


def _next(actor: Actor, name: tuple[str, str], bucket_id: int, mark: Mark) -> Any:
    def read(db: Session) -> tuple[list[dict[str, Any]], Mark]:
        if access_bucket(db, actor, *name).id != bucket_id:
            raise Unavailable(lazy("This bucket is another one now."))
        changes, following = list_changes(db, bucket_id, mark)
        return [_change_json(change) for change in changes], following

    return read


def _change_json(change: BucketChange) -> dict[str, Any]:
    found = {
        "op": change.op,
        "path": change.path,
        "size": change.size_bytes,
        "xetHash": change.xet_hash,
        "mtime": clock.to_json(change.mtime) if change.mtime else None,
        "uploadedAt": clock.to_json(change.changed_at) if change.op != "delete" else None,
    }
    return drop_none(found)


def _event(kind: str, payload: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps(payload))
