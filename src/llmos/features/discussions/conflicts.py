"""Files both sides changed: what each has, and a commit that settles them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pygit2
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from llmos.core.errors import BadRequest, Conflict, TooLarge
from llmos.features.accounts.actor import Actor
from llmos.features.discussions.models import DRAFT, OPEN, Thread
from llmos.features.discussions.policy import thread_not_found
from llmos.features.discussions.pull_state import PullState, pull_ref, read_pull_state
from llmos.features.repos.cards.validate import validate_card
from llmos.features.repos.commit_targets import author_identity, check_commit_access, site_identity
from llmos.features.repos.models import Repo
from llmos.features.repos.places import open_git
from llmos.features.repos.push import RefConflict, RefUpdate, move_refs
from llmos.infra.git.merge import ConflictedFile, merge_resolved, read_conflicts
from llmos.infra.git.objects import ObjectWriter
from llmos.infra.git.pointers import parse_pointer
from llmos.infra.git.trees import get_entry
from llmos.infra.git.writer import create_commit
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

MAX_TEXT_BYTES = 1024 * 1024
_MARKERS = ("<<<<<<< ", ">>>>>>> ")


@dataclass(frozen=True, slots=True)
class Take:
    """Settle a file by one side as it is: `pull` (the pull request's) or `base` (the branch's)."""

    side: str


Resolution = str | bytes | Take


@dataclass(frozen=True, slots=True)
class ConflictSides:
    """A conflicted file for the resolving page.

    Texts are None where a side has no such file, or it is not text; `merged` holds both sides
    between conflict markers. `is_text`: it can be settled by typing, otherwise by `Take`.
    """

    path: str
    ancestor: str | None
    pull: str | None
    base: str | None
    merged: str | None
    is_in_pull: bool
    is_in_base: bool

    @property
    def is_text(self) -> bool:
        return self.merged is not None


def list_conflict_sides(rt: Runtime, repo: Repo, state: PullState) -> list[ConflictSides]:
    """Every file to resolve, as `state` names them; none where the merge is clean."""
    if not state.conflicts or state.base_oid is None or state.head_oid is None:
        return []
    git_repo = open_git(rt, repo)
    found = read_conflicts(git_repo, state.head_oid, state.base_oid, max_bytes=MAX_TEXT_BYTES)
    return [_sides(git_repo, file) for file in found]


def _sides(git_repo: pygit2.Repository, file: ConflictedFile) -> ConflictSides:
    ours, theirs = _text(git_repo, file.ours_oid), _text(git_repo, file.theirs_oid)
    is_large = any(text is not None and parse_pointer(text.encode()) for text in (ours, theirs))
    return ConflictSides(
        path=file.path,
        ancestor=_text(git_repo, file.base_oid),
        pull=ours,
        base=theirs,
        merged=None if is_large else file.merged,
        is_in_pull=file.ours_oid is not None,
        is_in_base=file.theirs_oid is not None,
    )


def _text(git_repo: pygit2.Repository, oid: str | None) -> str | None:
    if oid is None or git_repo.odb.read_header(pygit2.Oid(hex=oid))[1] > MAX_TEXT_BYTES:
        return None
    data = git_repo.odb.read(pygit2.Oid(hex=oid))[1]
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None


def resolve_conflicts(
    rt: Runtime,
    actor: Actor,
    thread_id: int,
    resolutions: Mapping[str, Resolution],
    *,
    head_oid: str | None = None,
) -> str:
    """Commit a merge of the base into `refs/pr/<num>` with these files settled; the commit's id.

    For the pull request's author and writers. Raises BadRequest for a file that is not in
    conflict, still holds conflict markers, or has invalid metadata; Conflict (409) `Unresolved`
    with the `files` left out, `NoConflict`, `StatusChanged`, `BranchDeleted`, and `HeadMoved`
    where either side moved on. Opens its own transactions.
    """
    thread, repo, state = _load(rt, actor, thread_id)
    head, base = state.head_oid, state.base_oid
    if head is None or base is None:
        raise Conflict(lazy("The branch was deleted: there is nothing to merge with."), code="BranchDeleted")
    if head_oid is not None and head_oid != head:
        raise _moved()
    if not state.conflicts:
        raise Conflict(lazy("There is no conflict to resolve."), code="NoConflict")
    git_repo = open_git(rt, repo)
    with ObjectWriter(git_repo) as writer:
        chosen = {
            path: _blob_of(rt, repo, git_repo, writer, state, path, resolution)
            for path, resolution in resolutions.items()
        }
        writer.flush()
        try:
            outcome = merge_resolved(git_repo, head, base, chosen)
        except ValueError as error:
            raise BadRequest(lazy("Not every file given is in conflict: %(why)s.", why=str(error))) from error
        if outcome.tree is None:
            files = list(outcome.conflicts)
            message = lazy("These files are not resolved yet: %(files)s.", files=", ".join(files[:20]))
            raise Conflict(message, code="Unresolved", data={"files": files})
        oid = create_commit(
            writer,
            outcome.tree,
            [head, base],
            author=author_identity(rt, actor),
            committer=site_identity(rt),
            message=f"Merge {state.base_name} and resolve conflicts",
        )
        writer.flush()
    try:
        move_refs(rt, actor, repo.id, [RefUpdate(pull_ref(thread.num), head, oid)])
    except RefConflict as error:
        raise _moved() from error
    return oid


def _moved() -> Conflict:
    return Conflict(
        lazy("New commits were pushed meanwhile: load the page again and resolve what is left."),
        code="HeadMoved",
    )


def _load(rt: Runtime, actor: Actor, thread_id: int) -> tuple[Thread, Repo, PullState]:
    with rt.database.reading() as db:
        options = (joinedload(Thread.pull), joinedload(Thread.repo))
        thread = db.scalars(select(Thread).where(Thread.id == thread_id).options(*options)).unique().first()
        if thread is None or thread.repo is None or thread.pull is None:
            raise thread_not_found(0)
        check_commit_access(db, actor, thread.repo, pull_ref(thread.num), create_pr=False)
        if thread.status not in (OPEN, DRAFT):
            raise Conflict(
                lazy("Nothing was changed: this pull request is already %(status)s.", status=thread.status),
                code="StatusChanged",
                data={"status": thread.status},
            )
        return thread, thread.repo, read_pull_state(rt, thread.repo, thread)


def _blob_of(
    rt: Runtime,
    repo: Repo,
    git_repo: pygit2.Repository,
    writer: ObjectWriter,
    state: PullState,
    path: str,
    resolution: Resolution,
) -> tuple[str, int] | None:
    """The blob and mode that settle one file; None: the file goes."""
    assert state.head_oid is not None
    assert state.base_oid is not None
    if isinstance(resolution, Take):
        if resolution.side not in ("pull", "base"):
            raise BadRequest(lazy("Take the side 'pull' or 'base' of %(path)r.", path=path))
        entry = get_entry(git_repo, state.head_oid if resolution.side == "pull" else state.base_oid, path)
        return (entry.oid, entry.mode) if entry is not None else None
    data = resolution.encode() if isinstance(resolution, str) else resolution
    limit = rt.settings.regular_file_limit_bytes
    if len(data) > limit:
        raise TooLarge(lazy("%(path)r is larger than %(limit)s bytes.", path=path, limit=limit))
    lines = data.decode("utf-8", "replace").splitlines()
    if any(line.startswith(_MARKERS) for line in lines):
        raise BadRequest(lazy("%(path)r still holds conflict markers: remove them.", path=path))
    if parse_pointer(data) is not None:
        raise BadRequest(lazy("%(path)r is a large file: take one side of it as it is.", path=path))
    if path == "README.md" and (errors := validate_card(data, repo.repo_type.value).errors):
        raise BadRequest(lazy("Invalid metadata in README.md: %(errors)s", errors="; ".join(errors)))
    held = get_entry(git_repo, state.head_oid, path) or get_entry(git_repo, state.base_oid, path)
    return writer.write_blob(data), held.mode if held is not None else 0
