"""Refusals of the git adapter."""

from __future__ import annotations

from llmos.core.errors import (
    BadRequest,
    Conflict,
    EntryNotFound,
    LlmosError,
    PreconditionFailed,
    RevisionNotFound,
    Unavailable,
)

__all__ = [
    "EntryNotFound",
    "GitFailed",
    "GitTimeout",
    "InvalidRef",
    "PathConflict",
    "RefConflict",
    "RepositoryExists",
    "RepositoryMissing",
    "RevisionNotFound",
    "StaleParent",
]

STALE_PARENT_MESSAGE = "The branch was updated since you opened this page. Please refresh and try again."


class InvalidRef(BadRequest):
    """A branch or tag name that git cannot hold."""

    code = "InvalidRef"


class RefConflict(Conflict):
    """The ref is not where the caller expected it; `data["current"]` is where it is, if known."""

    code = "RefConflict"


class StaleParent(PreconditionFailed):
    """The parent commit named by the caller is no longer the head of the branch."""

    code = "StaleParent"

    def __init__(self, message: str = STALE_PARENT_MESSAGE, **kwargs: object) -> None:
        super().__init__(message, **kwargs)  # type: ignore[arg-type]


class PathConflict(Conflict):
    """Two paths of one tree cannot exist together."""

    code = "PathConflict"


class RepositoryExists(Conflict):
    code = "RepositoryExists"


class RepositoryMissing(LlmosError):
    """No bare repository lies at the path asked for: damage or a race with a deletion."""

    status = 503
    code = "RepositoryMissing"


class GitFailed(LlmosError):
    """The `git` program ended with an error the caller did not foresee."""

    status = 500
    code = "GitFailed"


class GitTimeout(Unavailable):
    code = "GitTimeout"
