"""Commits made through the API: collected while they stream in, then written as one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from llmos.core.errors import (
    BadRequest,
    EntryNotFound,
    RevisionNotFound,
    TooLarge,
    Unavailable,
    Unprocessable,
)
from llmos.core.paths import check_file_path
from llmos.features.accounts.actor import Actor
from llmos.features.repos.cards.validate import validate_card
from llmos.features.repos.claims import get_claims
from llmos.features.repos.commit_targets import CommitTarget, author_identity, site_identity
from llmos.features.repos.files import get_file
from llmos.features.repos.lfs_tracking import track_paths
from llmos.features.repos.places import git_path
from llmos.features.repos.push import RefUpdate, move_refs, open_pull
from llmos.infra.git.commits import get_commit
from llmos.infra.git.errors import RefConflict, StaleParent
from llmos.infra.git.objects import ObjectWriter
from llmos.infra.git.pointers import format_pointer, parse_pointer
from llmos.infra.git.repository import open_private
from llmos.infra.git.revisions import read_ref, resolve
from llmos.infra.git.trees import tree_of
from llmos.infra.git.writer import (
    EMPTY_TREE,
    AddBlob,
    Change,
    DeleteFile,
    DeleteFolder,
    apply_changes,
    create_commit,
)
from llmos.infra.runtime import Runtime

MAX_CHANGES = 200_000
MAX_SUMMARY_CHARS = 1_000
MAX_DESCRIPTION_CHARS = 65_536
MAX_ATTEMPTS = 20
ATTRIBUTES = ".gitattributes"
_OID_PREFIX = re.compile(r"[0-9a-f]{5,40}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class CommitResult:
    """`pull_num` is set when a pull request was opened; `commit_oid` may be an older commit
    when nothing would have changed."""

    commit_oid: str
    pull_num: int | None = None


@dataclass(slots=True)
class _Large:
    path: str
    oid: str
    size_bytes: int | None


@dataclass(slots=True)
class CommitDraft:
    """One commit on its way in. Content goes straight into git objects that nobody sees yet.

    Calls may come from different threads, one at a time. Use as a context manager: leaving it
    without `finish` drops everything.
    """

    rt: Runtime
    actor: Actor
    target: CommitTarget
    summary: str = ""
    description: str = ""
    parent: str | None = None
    changes: list[Change] = field(default_factory=list)
    large: list[_Large] = field(default_factory=list)
    attributes: bytes | None = None
    drops_attributes: bool = False
    writer: ObjectWriter = field(init=False)

    def __post_init__(self) -> None:
        self.writer = ObjectWriter(open_private(git_path(self.rt, self.target)))

    def __enter__(self) -> CommitDraft:
        return self

    def __exit__(self, *exc: object) -> None:
        self.writer.__exit__(None, None, None)

    def set_header(self, summary: str, description: str, parent: str | None) -> None:
        """Message and expected parent (5 to 40 hex digits); StaleParent at once if it is not the head."""
        if not summary.strip():
            raise BadRequest("header.summary is empty: say what the commit does.")
        if len(summary) > MAX_SUMMARY_CHARS or len(description) > MAX_DESCRIPTION_CHARS:
            raise BadRequest(
                f"The commit message is too long: at most {MAX_SUMMARY_CHARS} characters of summary "
                f"and {MAX_DESCRIPTION_CHARS} of description."
            )
        if parent is not None and not _OID_PREFIX.match(parent.lower()):
            raise BadRequest("header.parentCommit must be 5 to 40 hex digits of a commit id.")
        self.summary, self.description = summary, description
        self.parent = parent.lower() if parent else None
        if not self.target.create_pr:
            self._check_parent(self.target.head)

    def _check_parent(self, head: str | None) -> None:
        if self.parent is not None and not (head or "").startswith(self.parent):
            raise StaleParent()

    def add_file(self, path: str, data: bytes, old_path: str | None = None) -> None:
        """Put a regular file; `old_path` renames. TooLarge above the limit of regular files."""
        check_file_path(path)
        limit = self.rt.settings.regular_file_limit_bytes
        if len(data) > limit:
            raise TooLarge(
                f"{path!r} is {len(data)} bytes: files above {limit} bytes cannot be regular files of "
                "a commit. Upload it as a large file (LFS or Xet) instead."
            )
        if path == "README.md":
            self._check_card(data)
        if path == ATTRIBUTES:
            self.attributes = data
        pointer = parse_pointer(data)
        if pointer is not None:
            # A pointer written by hand must not reach an object the repository never received.
            self.large.append(_Large(path, pointer.oid, pointer.size))
        self._add(AddBlob(path, self.writer.write_blob(data)), old_path)

    def _check_card(self, data: bytes) -> None:
        report = validate_card(data, self.target.repo_type.value)
        if report.errors:
            lines = "".join(f"\n- {error}" for error in report.errors)
            raise BadRequest(
                f"Invalid metadata in README.md.{lines}",
                data={
                    "errors": [{"message": text} for text in report.errors],
                    "warnings": [{"message": text} for text in report.warnings],
                },
            )

    def add_large(self, path: str, oid: str, size_bytes: int | None, old_path: str | None = None) -> None:
        """Put a file whose content was uploaded before; its size may be left out (copies)."""
        check_file_path(path)
        if path.rpartition("/")[2] in (ATTRIBUTES, ".gitignore", ".gitmodules"):
            raise Unprocessable(f"{path!r} steers git itself and must be a regular file.")
        if not _SHA256.match(oid):
            raise BadRequest(f"lfsFile.oid of {path!r} must be the SHA-256 of the content in lower-case hex.")
        if size_bytes is not None and size_bytes < 0:
            raise BadRequest(f"lfsFile.size of {path!r} must not be negative.")
        self.large.append(_Large(path, oid, size_bytes))
        self._add(AddBlob(path, ""), old_path)

    def delete_file(self, path: str) -> None:
        if path == ATTRIBUTES:
            self.drops_attributes = True
        self._add(DeleteFile(path))

    def delete_folder(self, path: str) -> None:
        """A trailing slash is accepted; the root cannot be deleted."""
        if not path.strip("/"):
            raise BadRequest("deletedFolder.path is empty: name a folder.")
        self._add(DeleteFolder(path))

    def _add(self, change: Change, old_path: str | None = None) -> None:
        if len(self.changes) >= MAX_CHANGES:
            raise TooLarge(f"A commit may change at most {MAX_CHANGES} files: split it.")
        if old_path is not None and old_path != change.path:
            self.changes.append(DeleteFile(old_path))
        self.changes.append(change)

    def finish(self) -> CommitResult:
        """Write the commit and move the ref; see the module's errors.

        A commit that changes nothing returns the present head, so a replayed request is
        harmless. Where another commit was faster, this one is made again on top of it, unless
        the parent was named: then StaleParent (412).
        """
        if not self.summary:
            raise BadRequest("The commit has no header: send it as the first line.")
        self._confirm_large()
        if self.target.create_pr:
            return self._open_pull()
        for _ in range(MAX_ATTEMPTS):
            head = read_ref(self.writer.git_repo, self.target.ref)
            if head is None and self.target.head is not None:
                raise RevisionNotFound(f"Invalid rev id: {self.target.ref} was deleted meanwhile.")
            self._check_parent(head)
            oid = self._write(head)
            if oid == head:
                return CommitResult(oid)
            try:
                move_refs(self.rt, self.actor, self.target.repo_id, [RefUpdate(self.target.ref, head, oid)])
            except RefConflict:
                continue
            return CommitResult(oid)
        raise Unavailable(f"{self.target.ref} is changing too quickly: try again in a moment.")

    def _open_pull(self) -> CommitResult:
        git_repo = self.writer.git_repo
        base = resolve(git_repo, self.parent) if self.parent else self.target.head
        assert base is not None
        oid = self._write(base)
        number = open_pull(
            self.rt,
            self.actor,
            self.target.repo_id,
            base_ref=self.target.ref,
            base_oid=base,
            head_oid=oid,
            title=self.summary,
            description=self.description,
        )
        return CommitResult(oid, number)

    def _confirm_large(self) -> None:
        """Every large file must be claimed by the repository, which only an upload can do."""
        oids = sorted({item.oid for item in self.large})
        with self.rt.database.reading() as db:
            claims = get_claims(db, self.target.repo_id, oids) if oids else {}
            sizes = {oid: claim.size_bytes for oid, claim in claims.items()}
        pointers: dict[str, str] = {}
        for item in self.large:
            size = sizes.get(item.oid)
            if size is None:
                raise BadRequest(
                    f"The content of {item.path!r} (sha256 {item.oid}) has not been uploaded to this "
                    "repository: upload it through LFS or Xet first, then commit."
                )
            if item.size_bytes is not None and item.size_bytes != size:
                raise BadRequest(f"{item.path!r} is said to have {item.size_bytes} bytes, but has {size}.")
            pointers[item.path] = self.writer.write_blob(format_pointer(item.oid, size))
        self.changes = [
            AddBlob(change.path, pointers[change.path])
            if isinstance(change, AddBlob) and not change.oid
            else change
            for change in self.changes
        ]

    def _write(self, head: str | None) -> str:
        """The new commit on top of `head`, durable; `head` itself where nothing changes."""
        base_tree = tree_of(self.writer.git_repo, head) if head else None
        try:
            tree = apply_changes(self.writer, base_tree, [*self.changes, *self._attribute_changes(head)])
        except EntryNotFound:
            if head is not None and self._is_replay(head):
                return head
            raise
        if head is not None and tree == base_tree:
            return head
        if head is None and tree == EMPTY_TREE:
            raise BadRequest("The commit changes nothing: add at least one file.")
        oid = self._commit(tree, [head] if head else [])
        self.writer.flush()
        return oid

    def _commit(self, tree: str, parents: Sequence[str]) -> str:
        return create_commit(
            self.writer,
            tree,
            parents,
            author=author_identity(self.rt, self.actor),
            committer=site_identity(self.rt),
            message=self._message(),
        )

    def _message(self) -> str:
        return f"{self.summary}\n\n{self.description}" if self.description.strip() else self.summary

    def _attribute_changes(self, head: str | None) -> list[Change]:
        """An edit of `.gitattributes` where a large file of this commit is not tracked yet."""
        paths = [item.path for item in self.large]
        if not paths:
            return []
        held = self.attributes
        if held is None and not self.drops_attributes:
            held = get_file(self.writer.git_repo, head, ATTRIBUTES)
        text = (held or b"").decode("utf-8", "surrogateescape")
        tracked = track_paths(text, paths)
        if tracked == text:
            return []
        return [AddBlob(ATTRIBUTES, self.writer.write_blob(tracked.encode("utf-8", "surrogateescape")))]

    def _is_replay(self, head: str) -> bool:
        """Whether `head` is this very commit, made by an earlier try whose answer was lost."""
        git_repo = self.writer.git_repo
        info = get_commit(git_repo, head)
        if len(info.parents) != 1 or info.author_name != self.actor.name:
            return False
        if info.message.strip() != self._message().replace("\r\n", "\n").strip():
            return False
        parent = info.parents[0]
        try:
            changes = [*self.changes, *self._attribute_changes(parent)]
            return apply_changes(self.writer, tree_of(git_repo, parent), changes) == info.tree
        except EntryNotFound:
            return False
