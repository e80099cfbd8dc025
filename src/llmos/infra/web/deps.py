"""Per-request parts for FastAPI routes: the runtime and one database transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from llmos.infra.runtime import Runtime
from llmos.infra.web import routing as _routing  # noqa: F401  # registers the path convertors

T = TypeVar("T")


def get_runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


async def _runtime(request: Request) -> Runtime:
    # Async so that FastAPI does not spend a thread on an attribute read.
    return get_runtime(request)


RuntimeDep = Annotated[Runtime, Depends(_runtime)]


async def _read_session(rt: RuntimeDep) -> AsyncIterator[Session]:
    session = rt.database.read_session()
    try:
        yield session
    finally:
        await run_in_threadpool(session.close)


async def _write_session(rt: RuntimeDep) -> AsyncIterator[Session]:
    session = rt.database.write_session()
    try:
        yield session
        await run_in_threadpool(session.commit)
    finally:
        await run_in_threadpool(session.close)


# scope="function": the exit code, and so the COMMIT, runs before the response starts.
ReadDb = Annotated[Session, Depends(_read_session, scope="function")]
WriteDb = Annotated[Session, Depends(_write_session, scope="function")]


async def run_read(rt: Runtime, fn: Callable[[Session], T]) -> T:
    """Run a short query from async code: inline on SQLite (no network wait), in a thread otherwise."""

    def work() -> T:
        with rt.database.read_session() as session:
            return fn(session)

    if rt.database.is_sqlite:
        return work()
    return await run_in_threadpool(work)


async def run_write(rt: Runtime, fn: Callable[[Session], T]) -> T:
    """Run one write transaction from async code, in a thread; committed when this returns."""

    def work() -> T:
        with rt.database.writing() as session:
            return fn(session)

    return await run_in_threadpool(work)
