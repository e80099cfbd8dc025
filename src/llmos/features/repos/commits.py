"""Commits made through the API: collected while they stream in, then written as one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from threading import Lock
from weakref import WeakValueDictionary

from llmos.core.errors import (
    BadRequest,
    EntryNotFound,
    RevisionNotFound,
    Unavailable,
)
from llmos.features.repos.claims import get_claims, mark_used
from llmos.features.repos.commit_changes import ATTRIBUTES, DraftChanges
from llmos.features.repos.commit_targets import author_identity, site_identity
from llmos.features.repos.files import get_file
from llmos.features.repos.lfs_tracking import track_paths
from llmos.features.repos.push import RefUpdate, move_refs, open_pull
from llmos.infra.git.commits import get_commit
from llmos.infra.git.errors import RefConflict
from llmos.infra.git.pointers import format_pointer
from llmos.infra.git.revisions import read_ref, resolve
from llmos.infra.git.trees import tree_of
from llmos.infra.git.writer import (
    EMPTY_TREE,
    AddBlob,
    Change,
    apply_changes,
    create_commit,
)
from llmos.infra.i18n import lazy

MAX_ATTEMPTS = 20


class _Turn:
    """One repository's queue of committers in this process; lives while one holds it."""

    def __init__(self) -> None:
        self.lock = Lock()


_turns: WeakValueDictionary[str, _Turn] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class CommitResult:
    """`pull_num` is set when a pull request was opened; `commit_oid` may be an older commit
    when nothing would have changed."""

    commit_oid: str
    pull_num: int | None = None


class CommitDraft(DraftChanges):
    """One commit on its way in: collect its changes, then `finish`."""

    __slots__ = ()

    def finish(self) -> CommitResult:
        """Write the commit and move the ref; see the module's errors.

        A commit that changes nothing returns the present head, so a replayed request is
        harmless. Where another commit was faster, this one is made again on top of it, unless
        the parent was named: then StaleParent (412).
        """
        if not self.summary:
            raise BadRequest(lazy("The commit has no header: send it as the first line."))
        self._confirm_large()
        if self.target.create_pr:
            return self._open_pull()
        turn = _turns.setdefault(self.target.object_id, _Turn())
        for attempt in range(MAX_ATTEMPTS):
            # Who lost once waits for its turn, or busy neighbours would starve it.
            with turn.lock if attempt else nullcontext():
                oid = self._try()
            if oid is not None:
                return CommitResult(oid)
        raise Unavailable(
            lazy("%(ref)s is changing too quickly: try again in a moment.", ref=self.target.ref)
        )

    def _try(self) -> str | None:
        """The commit on the present head, or None where another one was faster."""
        head = read_ref(self.writer.git_repo, self.target.ref)
        if head is None and self.target.head is not None:
            raise RevisionNotFound(
                lazy("Invalid rev id: %(ref)s was deleted meanwhile.", ref=self.target.ref)
            )
        self.check_parent(head)
        oid = self._write(head)
        if oid == head:
            return oid
        try:
            move_refs(self.rt, self.actor, self.target.repo_id, [RefUpdate(self.target.ref, head, oid)])
        except RefConflict:
            return None
        return oid

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
        if oids:
            mark_used(self.rt, self.target.repo_id, oids)
        with self.rt.database.reading() as db:
            claims = get_claims(db, self.target.repo_id, oids) if oids else {}
            sizes = {oid: claim.size_bytes for oid, claim in claims.items()}
        pointers: dict[str, str] = {}
        for item in self.large:
            size = sizes.get(item.oid)
            if size is None:
                raise BadRequest(
                    lazy(
                        "The content of %(path)r (sha256 %(oid)s) has not been uploaded to this repository: "
                        "upload it through LFS or Xet first, then commit.",
                        path=item.path,
                        oid=item.oid,
                    )
                )
            if item.size_bytes is not None and item.size_bytes != size:
                raise BadRequest(
                    lazy(
                        "%(path)r is said to have %(size_bytes)s bytes, but has %(size)s.",
                        path=item.path,
                        size_bytes=item.size_bytes,
                        size=size,
                    )
                )
            pointers[item.path] = self.writer.write_blob(format_pointer(item.oid, size))
        self.changes = [
            replace(change, oid=pointers[change.path])
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
            raise BadRequest(lazy("The commit changes nothing: add at least one file."))
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
