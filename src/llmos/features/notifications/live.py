"""Live news for open pages: server-sent events.

One task for the whole process asks the database, ten times a second and only while somebody is
connected, for notifications newer than the last one, and hands them to the connections they are
for. A connection is a queue and two small tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections import deque
from collections.abc import Sequence
from types import FrameType
from typing import Any, NamedTuple

import orjson
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, aliased
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmos.features.accounts.models import Namespace
from llmos.features.discussions.models import Thread
from llmos.features.notifications.models import Notification
from llmos.features.notifications.queries import count_unread, count_unread_of
from llmos.features.notifications.wording import sentence_of
from llmos.features.repos.models import Repo
from llmos.infra.i18n import Locale
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import run_read

log = logging.getLogger(__name__)

POLL_S = 0.1
HEARTBEAT_S = 25.0
# A connection ends after this and the browser opens another one, with credentials checked anew.
MAX_AGE_S = 1800.0
MAX_OF_ONE_PERSON = 8
MAX_CONNECTIONS = 2000
# On a server database ids of later transactions may become visible first.
OVERLAP = 50
_MAX_WAITING = 50
_MAX_ROWS = 4000


class Told(NamedTuple):
    """What a page says of one notification."""

    id: int
    user_id: int
    kind: str
    reason: str
    actor_name: str | None
    title: str
    href: str


class Listener:
    """One open page."""

    __slots__ = ("locale", "queue", "user_id")

    def __init__(self, user_id: int, locale: Locale) -> None:
        self.user_id = user_id
        self.locale = locale
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue(_MAX_WAITING)

    def put(self, message: bytes | None) -> None:
        """Hand over a message (None: the end); a page that does not read loses some."""
        with contextlib.suppress(asyncio.QueueFull):
            self.queue.put_nowait(message)


class LiveNews:
    """The open pages of one process, and the task that looks for news while there are any."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._listeners: dict[int, list[Listener]] = {}
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False

    @property
    def connections(self) -> int:
        return sum(map(len, self._listeners.values()))

    def join(self, user_id: int, locale: Locale) -> Listener | None:
        """A new connection; None where the person, or the process, has too many or is ending."""
        own = self._listeners.get(user_id, ())
        if self._is_closed or len(own) >= MAX_OF_ONE_PERSON or self.connections >= MAX_CONNECTIONS:
            return None
        listener = Listener(user_id, locale)
        self._listeners.setdefault(user_id, []).append(listener)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._end_with_process(self._loop)
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._watch())
        return listener

    def leave(self, listener: Listener) -> None:
        own = self._listeners.get(listener.user_id, [])
        if listener in own:
            own.remove(listener)
        if not own:
            self._listeners.pop(listener.user_id, None)

    def changed(self, user_id: int) -> None:
        """Tell the person's other pages that something was read; from any thread."""
        if self._loop is not None and user_id in self._listeners:
            with contextlib.suppress(RuntimeError):  # the loop has just ended
                asyncio.run_coroutine_threadsafe(self._tell_count(user_id), self._loop)

    def end(self) -> None:
        """End every connection; nobody may join any more. To be called in the event loop."""
        self._is_closed = True
        for own in list(self._listeners.values()):
            for listener in own:
                while not listener.queue.empty():
                    listener.queue.get_nowait()
                listener.put(None)
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """`end`, and wait for the task."""
        self.end()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _end_with_process(self, loop: asyncio.AbstractEventLoop) -> None:
        """End at the signal to stop: the server waits for open answers before anything else ends."""
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.getsignal(number)

            def stop(number: int, frame: FrameType | None, before: Any = before) -> None:
                with contextlib.suppress(RuntimeError):  # the loop has just ended
                    loop.call_soon_threadsafe(self.end)
                if callable(before):
                    before(number, frame)

            with contextlib.suppress(ValueError):  # not the main thread: as in tests
                signal.signal(number, stop)

    async def _tell_count(self, user_id: int) -> None:
        unread = await run_read(self._rt, lambda db: count_unread(db, user_id))
        for listener in self._listeners.get(user_id, ()):
            listener.put(event("unread", {"unread": unread}))

    async def _watch(self) -> None:
        known: int | None = None
        seen: deque[int] = deque(maxlen=OVERLAP * 4)
        while self._listeners:
            try:
                known, is_all = await self._look(known, seen)
            except SQLAlchemyError:
                is_all = True
                log.warning("live news: the database does not answer", exc_info=True)
            await asyncio.sleep(POLL_S if is_all else 0)

    async def _look(self, known: int | None, seen: deque[int]) -> tuple[int, bool]:
        """Tell what is new after `known`: the newest id told, and whether that was all."""
        newest = await run_read(self._rt, _newest)
        if known is None:
            seen.extend(range(max(newest - OVERLAP, 0), newest + 1))
            return newest, True
        if newest == known:
            return known, True
        people = list(self._listeners)
        rows, unread = await run_read(self._rt, lambda db: _news(db, known - OVERLAP, people, set(seen)))
        seen.extend(row.id for row in rows)
        self._hand_out(rows, unread)
        is_all = len(rows) < _MAX_ROWS
        return (newest if is_all else rows[-1].id), is_all

    def _hand_out(self, rows: Sequence[Told], unread: dict[int, int]) -> None:
        """One message for each page, however much there is to tell."""
        lines = Lines()
        own: dict[int, list[Told]] = {}
        for row in rows:
            own.setdefault(row.user_id, []).append(row)
        for user_id, told in own.items():
            for listener in self._listeners.get(user_id, ()):
                listener.put(b"".join(lines.event(row, listener.locale, unread[user_id]) for row in told))


def _newest(db: Session) -> int:
    return db.scalar(select(func.max(Notification.id))) or 0


def _news(
    db: Session, after_id: int, people: Sequence[int], seen: set[int]
) -> tuple[list[Told], dict[int, int]]:
    """The oldest _MAX_ROWS that are new, and how much each of their readers has not read."""
    actor, owner = aliased(Namespace), aliased(Namespace)
    statement = (
        select(
            Notification.id,
            Notification.user_id,
            Notification.kind,
            Notification.reason,
            actor.name,
            func.coalesce(Thread.title, owner.name + "/" + Repo.name, Notification.title),
            Notification.href,
        )
        .outerjoin(actor, actor.id == Notification.actor_id)
        .outerjoin(Thread, Thread.id == Notification.thread_id)
        .outerjoin(Repo, Repo.id == Notification.repo_id)
        .outerjoin(owner, owner.id == Repo.namespace_id)
        .where(Notification.id > after_id, Notification.read_at.is_(None))
        .order_by(Notification.id)
        .limit(_MAX_ROWS + OVERLAP)
    )
    if len(people) <= 500:
        statement = statement.where(Notification.user_id.in_(people))
    rows = [Told(*row) for row in db.execute(statement) if row.id not in seen]
    return rows, count_unread_of(db, {row.user_id for row in rows})


class Lines:
    """The events of one look. News of one thing reads the same to everybody but for the number."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], dict[str, Any]] = {}

    def event(self, row: Told, locale: Locale, unread: int) -> bytes:
        key = (locale, *row[2:])
        line = self._known.get(key)
        if line is None:
            text = sentence_of(row.kind, row.reason, row.actor_name, locale)
            line = self._known[key] = {"text": text, "title": row.title, "href": row.href}
        return event("news", line | {"unread": unread})


def event(name: str, data: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


class EventStream(Response):
    """The answer to one open page: its events, and a comment now and then to keep proxies awake."""

    def __init__(self, live: LiveNews, listener: Listener, first: bytes) -> None:
        self._live = live
        self._listener = listener
        self._first = first
        super().__init__(
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone: asyncio.Future[Any] = asyncio.ensure_future(_wait_for_end(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            first = b"retry: 3000\n\n" + self._first
            await send({"type": "http.response.body", "body": first, "more_body": True})
            await self._pass_on(send, gone)
        finally:
            gone.cancel()
            self._live.leave(self._listener)

    async def _pass_on(self, send: Send, gone: asyncio.Future[Any]) -> None:
        ends_at = time.monotonic() + MAX_AGE_S
        message: bytes | None = b""
        while message is not None and time.monotonic() < ends_at:
            coming: asyncio.Future[Any] = asyncio.ensure_future(self._listener.queue.get())
            await asyncio.wait([coming, gone], timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                coming.cancel()
                return
            if not coming.done():
                coming.cancel()
                message = b": still here\n\n"
            else:
                message = coming.result()
            if message:
                await send({"type": "http.response.body", "body": message, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _wait_for_end(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
