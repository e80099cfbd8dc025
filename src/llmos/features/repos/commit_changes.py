"""Collecting the changes of a commit while they stream in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Self

from llmos.core.errors import (
    BadRequest,
    TooLarge,
    Unprocessable,
)
from llmos.core.paths import check_file_path
from llmos.features.accounts.actor import Actor
from llmos.features.repos.cards.validate import validate_card
from llmos.features.repos.commit_targets import CommitTarget
from llmos.features.repos.places import git_path
from llmos.infra.git.errors import StaleParent
from llmos.infra.git.objects import ObjectWriter
from llmos.infra.git.pointers import parse_pointer
from llmos.infra.git.repository import open_private
from llmos.infra.git.writer import (
    AddBlob,
    Change,
    DeleteFile,
    DeleteFolder,
)
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

MAX_CHANGES = 200_000
MAX_SUMMARY_CHARS = 1_000
MAX_DESCRIPTION_CHARS = 65_536
ATTRIBUTES = ".gitattributes"
_OID_PREFIX = re.compile(r"[0-9a-f]{5,40}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(slots=True)
class LargeFile:
    """A path whose content must have been uploaded; size None: it is looked up."""

    path: str
    oid: str
    size_bytes: int | None


@dataclass(slots=True)
class DraftChanges:
    """Content goes straight into git objects that nobody sees yet.

    Calls may come from different threads, one at a time. Use as a context manager: leaving it
    drops what was not made durable.
    """

    rt: Runtime
    actor: Actor
    target: CommitTarget
    summary: str = ""
    description: str = ""
    parent: str | None = None
    changes: list[Change] = field(default_factory=list)
    large: list[LargeFile] = field(default_factory=list)
    attributes: bytes | None = None
    drops_attributes: bool = False
    writer: ObjectWriter = field(init=False)

    def __post_init__(self) -> None:
        self.writer = ObjectWriter(open_private(git_path(self.rt, self.target)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.writer.__exit__(None, None, None)

    def set_header(self, summary: str, description: str, parent: str | None) -> None:
        """Message and expected parent (5 to 40 hex digits); StaleParent at once if it is not the head."""
        if not summary.strip():
            raise BadRequest(lazy("header.summary is empty: say what the commit does."))
        if len(summary) > MAX_SUMMARY_CHARS or len(description) > MAX_DESCRIPTION_CHARS:
            raise BadRequest(
                lazy(
                    "The commit message is too long: at most %(limit)s characters of summary and "
                    "%(max_description_chars)s of description.",
                    limit=MAX_SUMMARY_CHARS,
                    max_description_chars=MAX_DESCRIPTION_CHARS,
                )
            )
        if parent is not None and not _OID_PREFIX.match(parent.lower()):
            raise BadRequest(lazy("header.parentCommit must be 5 to 40 hex digits of a commit id."))
        self.summary, self.description = summary, description
        self.parent = parent.lower() if parent else None
        if not self.target.create_pr:
            self.check_parent(self.target.head)

    def check_parent(self, head: str | None) -> None:
        if self.parent is not None and not (head or "").startswith(self.parent):
            raise StaleParent()

    def add_file(self, path: str, data: bytes, old_path: str | None = None) -> None:
        """Put a regular file; `old_path` renames. TooLarge above the limit of regular files."""
        check_file_path(path)
        limit = self.rt.settings.regular_file_limit_bytes
        if len(data) > limit:
            raise TooLarge(
                lazy(
                    "%(path)r is %(count)s bytes: files above %(limit)s bytes cannot be regular files of "
                    "a commit. Upload it as a large file (LFS or Xet) instead.",
                    path=path,
                    count=len(data),
                    limit=limit,
                )
            )
        if path == "README.md":
            self._check_card(data)
        if path == ATTRIBUTES:
            self.attributes = data
        pointer = parse_pointer(data)
        if pointer is not None:
            # A pointer written by hand must not reach an object the repository never received.
            self.large.append(LargeFile(path, pointer.oid, pointer.size))
        self._add(AddBlob(path, self.writer.write_blob(data)), old_path)

    def _check_card(self, data: bytes) -> None:
        report = validate_card(data, self.target.repo_type.value)
        if report.errors:
            lines = "".join(f"\n- {error}" for error in report.errors)
            raise BadRequest(
                lazy("Invalid metadata in README.md.%(lines)s", lines=lines),
                data={
                    "errors": [{"message": text} for text in report.errors],
                    "warnings": [{"message": text} for text in report.warnings],
                },
            )

    def add_large(self, path: str, oid: str, size_bytes: int | None, old_path: str | None = None) -> None:
        """Put a file whose content was uploaded before; its size may be left out (copies)."""
        check_file_path(path)
        if path.rpartition("/")[2] in (ATTRIBUTES, ".gitignore", ".gitmodules"):
            raise Unprocessable(lazy("%(path)r steers git itself and must be a regular file.", path=path))
        if not _SHA256.match(oid):
            raise BadRequest(
                lazy(
                    "lfsFile.oid of %(path)r must be the SHA-256 of the content in lower-case hex.", path=path
                )
            )
        if size_bytes is not None and size_bytes < 0:
            raise BadRequest(lazy("lfsFile.size of %(path)r must not be negative.", path=path))
        self.large.append(LargeFile(path, oid, size_bytes))
        self._add(AddBlob(path, ""), old_path)

    def delete_file(self, path: str) -> None:
        if path == ATTRIBUTES:
            self.drops_attributes = True
        self._add(DeleteFile(path))

    def delete_folder(self, path: str) -> None:
        """A trailing slash is accepted; the root cannot be deleted."""
        if not path.strip("/"):
            raise BadRequest(lazy("deletedFolder.path is empty: name a folder."))
        self._add(DeleteFolder(path))

    def _add(self, change: Change, old_path: str | None = None) -> None:
        if len(self.changes) >= MAX_CHANGES:
            raise TooLarge(lazy("A commit may change at most %(limit)s files: split it.", limit=MAX_CHANGES))
        if old_path is not None and old_path != change.path:
            self.changes.append(DeleteFile(old_path))
            if isinstance(change, AddBlob):
                change = replace(change, old_path=old_path)
        self.changes.append(change)
