"""Pure ASGI middleware: a request id on everything, no exception left unrendered."""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import sqlite3
import time

import pygit2
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm.exc import StaleDataError
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmos.app.faces import render_error
from llmos.core.errors import BadRequest, Conflict, LlmosError, OutOfSpace, Unavailable
from llmos.infra.i18n import lazy

log = logging.getLogger("llmos.request")
# Also EFBIG: the operator has limited how large a file this process may write.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REQUEST_ID = re.compile(r"[A-Za-z0-9_=;.:/-]{1,100}")


class RequestEdge:
    """Outermost layer: request id, access log, and the last resort for exceptions."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        request_id = _request_id(request)
        scope["request_id"] = request_id
        started_at = time.perf_counter()
        status = 0
        is_complete = False
        is_head = scope["method"] == "HEAD"

        async def send_with_id(message: Message) -> None:
            nonlocal status, is_complete
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(_without_body(message) if is_head else message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                is_complete = True

        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            log.info("%s %s client went away", scope["method"], scope["path"])
        except Exception as error:  # request edge: every exception becomes a typed answer
            refusal = as_refusal(error)
            if refusal.status >= 500 or isinstance(error, IntegrityError):
                log.exception("%s %s failed [%s]", scope["method"], scope["path"], request_id)
            if is_complete:
                return  # the application has answered by its own handler
            if status:
                raise  # the answer has begun: only closing the connection tells the truth
            await render_error(request, refusal)(scope, receive, send_with_id)
        finally:
            took_ms = (time.perf_counter() - started_at) * 1000
            log.debug("%s %s %s %.1fms", scope["method"], scope["path"], status, took_ms)


def _without_body(message: Message) -> Message:
    if message["type"] == "http.response.start":
        return message
    return {"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)}


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id") or request.headers.get("x-amzn-trace-id") or ""
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(12)


def as_refusal(error: Exception) -> LlmosError:
    """Every exception as a typed refusal; what nobody foresaw becomes a plain 500 without details."""
    if isinstance(error, LlmosError):
        return error
    if _is_out_of_space(error):
        return OutOfSpace(lazy("The server's disk is full: nothing was changed. Tell its operator."))
    if isinstance(error, OperationalError):
        return Unavailable(lazy("The database is busy or not reachable: try again in a moment."))
    if isinstance(error, IntegrityError | StaleDataError):
        return Conflict(lazy("Somebody else changed or deleted this at the same moment: look again."))
    if isinstance(error, DataError):
        # PostgreSQL keeps no NUL in a text and no number beyond the column's; SQLite looks for them in vain.
        return BadRequest(lazy("The address or a field holds a NUL character or too large a number."))
    return LlmosError(lazy("Something went wrong on the server. The request id finds it in the log."))


def _is_out_of_space(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    if isinstance(error, pygit2.GitError):
        # libgit2 gives no error number, only what the system says about it.
        return any(os.strerror(number) in str(error) for number in _NO_ROOM)
    original = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(original, sqlite3.OperationalError) and "full" in str(original)
