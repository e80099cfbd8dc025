"""One error type with several faces.

LlmosError
├── BadRequest        400
│   └── Unprocessable 422
├── Unauthenticated   401
├── Forbidden         403
├── NotFound          404
│   ├── RepoNotFound      what a reader sees of a private thing, too
│   ├── RevisionNotFound
│   └── EntryNotFound
├── Conflict          409
├── PreconditionFailed 412
├── TooLarge          413
├── RangeNotSatisfiable 416
├── QuotaExceeded     413
├── TooManyRequests   429
├── NotBuilt          501
├── OutOfSpace        507
└── Unavailable       503

A face (page, JSON, Hub, git) renders `code`, `status`, `message` and `data`; no code below
the faces knows HTTP beyond the status number kept here.
"""

from __future__ import annotations

from typing import Any


class LlmosError(Exception):
    """A refusal with a stable code, an HTTP status and a message that says what to do.

    `data` holds JSON-able facts for machines (for example `url` of an existing repository).
    """

    status = 500
    code = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.status = status or type(self).status
        self.data = data or {}


class BadRequest(LlmosError):
    """The request is malformed; the message names the field and the fix."""

    status = 400
    code = "BadRequest"


class Unprocessable(BadRequest):
    """The request is well formed, but a value in it cannot be accepted."""

    status = 422
    code = "Unprocessable"


class Unauthenticated(LlmosError):
    """Nobody is signed in, or the credential presented is not valid."""

    status = 401
    code = "Unauthenticated"


class Forbidden(LlmosError):
    """The actor may see the thing but not do this to it."""

    status = 403
    code = "Forbidden"


class GatedRepo(Forbidden):
    """The repository exists for everyone, its content only for those granted access."""

    code = "GatedRepo"


class NotFound(LlmosError):
    """The thing does not exist, or the actor must not learn that it does."""

    status = 404
    code = "NotFound"


class RepoNotFound(NotFound):
    code = "RepoNotFound"


class RevisionNotFound(NotFound):
    code = "RevisionNotFound"


class EntryNotFound(NotFound):
    code = "EntryNotFound"


class Conflict(LlmosError):
    """The thing exists already or changed meanwhile."""

    status = 409
    code = "Conflict"


class PreconditionFailed(LlmosError):
    status = 412
    code = "PreconditionFailed"


class TooLarge(LlmosError):
    status = 413
    code = "TooLarge"


class QuotaExceeded(TooLarge):
    code = "QuotaExceeded"


class RangeNotSatisfiable(LlmosError):
    """A byte range starts past the end; `data["size_bytes"]` is the real length."""

    status = 416
    code = "RangeNotSatisfiable"


class TooManyRequests(LlmosError):
    """A rate limit is used up; `data["retry_after_s"]` says when to come back."""

    status = 429
    code = "TooManyRequests"


class NotBuilt(LlmosError):
    """Known to the protocol, not (yet) offered by this instance."""

    status = 501
    code = "NotImplemented"


class Unavailable(LlmosError):
    status = 503
    code = "Unavailable"


class OutOfSpace(LlmosError):
    """The disk or object store is full; nothing was changed."""

    status = 507
    code = "OutOfSpace"
