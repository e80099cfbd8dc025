"""Reading repositories and committing to them, patiently.

Wraps huggingface_hub, which speaks to this hub and to any other: the address comes from `endpoint` or
HF_ENDPOINT, the token from `token`, HF_TOKEN or the signed-in machine.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from llmos.core.errors import (
    EntryNotFound,
    Forbidden,
    LlmosError,
    RepoNotFound,
    RevisionNotFound,
    Unavailable,
)

log = logging.getLogger(__name__)
T = TypeVar("T")

# A hub that restarts is back within a minute or two; one that is moved within ten.
RETRY_FOR_S = 600.0
_LONGEST_WAIT_S = 30.0
_AGAIN = {408, 412, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class RepoFile:
    path: str
    size_bytes: int
    # The blob id of git, or the sha256 of a large file: the same for the same content.
    content_id: str


@dataclass(frozen=True)
class RepoState:
    """A repository at one commit."""

    repo_type: str
    name: str
    commit: str
    files: list[RepoFile]
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def licence(self) -> str | None:
        licence = self.card.get("license")
        return str(licence) if isinstance(licence, str) else None


class Hub:
    """One hub as one person. Nothing is asked before the first call."""

    def __init__(
        self,
        endpoint: str | None = None,
        token: str | None = None,
        *,
        retry_for_s: float = RETRY_FOR_S,
        first_wait_s: float = 1.0,
    ) -> None:
        """Refused connections and answers like 503 are repeated for `retry_for_s`, the pauses growing."""
        from huggingface_hub import HfApi

        self.api = HfApi(endpoint=endpoint, token=token)
        self.retry_for_s, self.first_wait_s = retry_for_s, first_wait_s

    def access_repo(self, name: str, repo_type: str = "model", revision: str | None = None) -> RepoState:
        """The files and card of a repository, its revision pinned to a commit.

        Raises RepoNotFound, RevisionNotFound, Forbidden (gated) or Unavailable.
        """
        info = self._patiently(
            f"reading {name}",
            lambda: self.api.repo_info(name, repo_type=repo_type, revision=revision, files_metadata=True),
        )
        files = [
            RepoFile(file.rfilename, file.size or 0, file.lfs.sha256 if file.lfs else file.blob_id or "")
            for file in getattr(info, "siblings", None) or []
        ]
        card = getattr(info, "card_data", None)
        return RepoState(repo_type, name, info.sha or "", files, card.to_dict() if card else {})

    def download(self, repo: RepoState, path: str) -> Path:
        """The file's place in the local cache; fetched only if it is not there yet."""
        found = self._patiently(
            f"fetching {path} of {repo.name}",
            lambda: self.api.hf_hub_download(repo.name, path, repo_type=repo.repo_type, revision=repo.commit),
        )
        return Path(found)

    def create_repo(self, name: str, repo_type: str = "model", *, private: bool = True) -> None:
        """Create the repository unless it is there."""
        self._patiently(
            f"creating {name}",
            lambda: self.api.create_repo(name, repo_type=repo_type, private=private, exist_ok=True),
        )

    def create_branch(self, name: str, branch: str, repo_type: str = "model") -> None:
        """Create the branch unless it is there."""
        self._patiently(
            f"creating the branch {branch} of {name}",
            lambda: self.api.create_branch(name, branch=branch, repo_type=repo_type, exist_ok=True),
        )

    def commit(
        self,
        name: str,
        files: dict[str, Path | bytes],
        message: str,
        *,
        delete: Sequence[str] = (),
        repo_type: str = "model",
        branch: str = "main",
    ) -> str:
        """Commit `files` (path in the repository: content) and the removal of `delete`; the commit id.

        Repeated while the hub is away; a commit whose answer was lost is made twice with the same
        content, which changes nothing.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        def once() -> str:
            # Operations remember what they uploaded to whom: each attempt gets new ones.
            operations: list[Any] = [
                CommitOperationAdd(path, str(content) if isinstance(content, Path) else content)
                for path, content in files.items()
            ]
            operations += [CommitOperationDelete(path) for path in delete]
            done = self.api.create_commit(
                name, operations, commit_message=message, repo_type=repo_type, revision=branch
            )
            return str(done.oid)

        return self._patiently(f"committing to {name}", once)

    def _patiently(self, what: str, call: Callable[[], T]) -> T:
        """`call()`, repeated with growing pauses while the hub is away, for at most `retry_for_s`."""
        until = time.monotonic() + self.retry_for_s
        wait_s = self.first_wait_s
        while True:
            try:
                return call()
            except _troubles() as error:
                status = getattr(getattr(error, "response", None), "status_code", None)
                refused = _refusal(what, error, status)
                if refused is not None:
                    raise refused from error
                if time.monotonic() + wait_s > until:
                    raise Unavailable(
                        f"{what}: the hub {self.api.endpoint} does not answer ({error})."
                    ) from error
                log.warning("%s failed (%s); again in %.0f s", what, status or type(error).__name__, wait_s)
                time.sleep(wait_s * random.uniform(0.8, 1.2))
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)


def _troubles() -> tuple[type[Exception], ...]:
    """What a hub that refuses or is away looks like from here; hf_xet says it with a RuntimeError."""
    from huggingface_hub import errors

    transport: type[Exception] = errors.HfHubHTTPError.__mro__[1]
    return (
        errors.HfHubHTTPError, transport, errors.EntryNotFoundError, errors.XetDownloadError,
        ConnectionError, TimeoutError, RuntimeError,
    )  # fmt: skip


def _refusal(what: str, error: Exception, status: int | None) -> LlmosError | None:
    """The error to raise at once, or None where another attempt may succeed."""
    from huggingface_hub import errors

    refusals: list[tuple[type[Exception], type[LlmosError], str]] = [
        (errors.GatedRepoError, Forbidden, "access has to be granted first; ask on the repository's page."),
        (errors.RevisionNotFoundError, RevisionNotFound, "there is no such branch, tag or commit."),
        (errors.RepositoryNotFoundError, RepoNotFound, "no such repository, or the token may not see it."),
        (errors.RemoteEntryNotFoundError, EntryNotFound, "there is no such file."),
    ]
    for kind, ours, why in refusals:
        if isinstance(error, kind):
            return ours(f"{what}: {why}")
    if status is not None and status not in _AGAIN:
        why = getattr(error, "server_message", None) or str(error).splitlines()[0]
        sign_in = " Set HF_TOKEN, or run: hf auth login" if status == 401 else ""
        return Forbidden(f"{what} was refused: {why}{sign_in}", status=status, code="HubRefused")
    return None
