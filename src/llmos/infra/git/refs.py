"""Move refs, each move a compare-and-swap under git's own lock file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pygit2
from pygit2.enums import ObjectType
from pygit2.transaction import ReferenceTransaction

from llmos.core.text import lazy
from llmos.infra.git.errors import RefConflict, RevisionNotFound
from llmos.infra.git.identity import Identity, format_identity
from llmos.infra.git.repository import fsync_folder
from llmos.infra.git.revisions import (
    BRANCH_PREFIX,
    TAG_PREFIX,
    check_branch_name,
    check_ref,
    check_tag_name,
    read_ref,
    resolve,
)
from llmos.infra.git.stale_locks import clear_stale_locks

LOCK_TIMEOUT_S = 5.0
_LOCK_POLL_S = 0.005


class _AnyValue:
    """Marks a move that overwrites whatever the ref holds."""


ANY: Final = _AnyValue()


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """One move: `new` None deletes, `expected_old` None demands that the ref does not exist."""

    ref: str
    new: str | None
    expected_old: str | _AnyValue | None


def update_ref(
    git_repo: pygit2.Repository, ref: str, new: str | None, expected_old: str | _AnyValue | None
) -> None:
    """Move `ref` from `expected_old` to `new`, or change nothing and raise RefConflict.

    The old value is read while `<ref>.lock` is held, the lock every git program takes before
    it moves or packs a ref, so of several writers with one `expected_old` exactly one wins,
    whatever thread, process or program they are. The new value is on disk on return.
    Raises RevisionNotFound if `new` is not a commit or tag of this repository, InvalidRef for a
    malformed name, RefConflict also if the lock stays taken for LOCK_TIMEOUT_S seconds; one that a killed
    process left is removed once it is old enough.
    """
    update_refs(git_repo, [RefUpdate(ref, new, expected_old)])


def update_refs(git_repo: pygit2.Repository, updates: list[RefUpdate]) -> None:
    """Check all moves under their locks first, then make them: none moves if one conflicts."""
    for update in updates:
        check_ref(update.ref)
        if update.new is not None:
            _check_target(git_repo, update.new)
    with git_repo.transaction() as transaction:
        for update in sorted(updates, key=lambda item: item.ref):
            _lock(git_repo, transaction, update.ref)
            _check_move(git_repo, update)
            if update.new is not None:
                transaction.set_target(update.ref, update.new)
            elif read_ref(git_repo, update.ref) is not None:
                transaction.remove(update.ref)
    for update in updates:
        if update.new is None or update.expected_old is None:
            _fsync_folders(Path(git_repo.path), update.ref)


def _check_target(git_repo: pygit2.Repository, oid: str) -> None:
    try:
        kind, _ = git_repo.odb.read_header(pygit2.Oid(hex=oid))
    except (KeyError, ValueError) as error:
        raise RevisionNotFound(lazy("Invalid rev id: %(oid)s", oid=oid[:40])) from error
    if kind not in (ObjectType.COMMIT, ObjectType.TAG):
        raise RevisionNotFound(lazy("Invalid rev id: %(oid)s is not a commit.", oid=oid[:40]))


def _lock(git_repo: pygit2.Repository, transaction: ReferenceTransaction, ref: str) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            transaction.lock_ref(ref)
            return
        except (pygit2.GitError, ValueError, OSError, KeyError) as error:
            _check_neighbours(git_repo, ref)
            if clear_stale_locks(Path(git_repo.path), [ref]):
                continue
            if time.monotonic() > deadline:
                raise RefConflict(f"{ref} is being changed by someone else: try again.") from error
        time.sleep(_LOCK_POLL_S)


def _check_move(git_repo: pygit2.Repository, update: RefUpdate) -> None:
    current = read_ref(git_repo, update.ref)
    if current is None and update.new is not None:
        _check_neighbours(git_repo, update.ref)
    if isinstance(update.expected_old, _AnyValue) or current == update.expected_old:
        return
    if update.expected_old is None:
        message = f"Reference {update.ref} already exists"
    else:
        message = f"{update.ref} was changed meanwhile: read it again and retry."
    raise RefConflict(message, data={"ref": update.ref, "current": current})


def _check_neighbours(git_repo: pygit2.Repository, ref: str) -> None:
    """Refuse a ref whose name is a folder of other refs, or has another ref as its folder."""
    parts = ref.split("/")
    for end in range(3, len(parts)):
        parent = "/".join(parts[:end])
        if read_ref(git_repo, parent) is not None:
            raise RefConflict(f"{ref} cannot exist beside {parent}: choose another name.")
    below = f"{ref}/".encode()
    for name in git_repo.raw_listall_references():
        if name.startswith(below):
            shown = name.decode("utf-8", "replace")
            raise RefConflict(f"{ref} cannot exist beside {shown}: choose another name.")


def _fsync_folders(git_folder: Path, ref: str) -> None:
    """Folders appear with their first ref and vanish with their last, which libgit2 leaves to
    the cache."""
    for folder in list((git_folder / ref).parents)[: ref.count("/")]:
        if folder.is_dir():
            fsync_folder(folder)


@contextmanager
def holding_ref(git_repo: pygit2.Repository, ref: str) -> Iterator[str | None]:
    """Keep every writer away from `ref` for the length of the block; yields its value."""
    check_ref(ref)
    with git_repo.transaction() as transaction:
        _lock(git_repo, transaction, ref)
        yield read_ref(git_repo, ref)


def create_branch(git_repo: pygit2.Repository, name: str, commit: str) -> str:
    """Create a branch and return its full name; RefConflict if it exists."""
    ref = BRANCH_PREFIX + check_branch_name(name)
    update_ref(git_repo, ref, commit, None)
    return ref


def create_tag(
    git_repo: pygit2.Repository,
    name: str,
    commit: str,
    *,
    message: str | None = None,
    tagger: Identity | None = None,
) -> str:
    """Create a tag and return its full name; RefConflict if it exists.

    With a `message` (and then a `tagger`) the tag is annotated, otherwise lightweight.
    """
    ref = TAG_PREFIX + check_tag_name(name)
    commit = resolve(git_repo, commit)
    target = commit
    if message:
        if tagger is None:
            raise ValueError("an annotated tag needs a tagger")
        target = write_tag(git_repo, name, commit, message=message, tagger=tagger)
    update_ref(git_repo, ref, target, None)
    return ref


def write_tag(git_repo: pygit2.Repository, name: str, commit: str, *, message: str, tagger: Identity) -> str:
    """Write the object of an annotated tag, durably, and return its id; no ref moves."""
    lines = [b"object " + commit.encode(), b"type commit", b"tag " + name.encode()]
    lines += [b"tagger " + format_identity(tagger), b"", _message_bytes(message)]
    return str(git_repo.odb.write(ObjectType.TAG, b"\n".join(lines)))


def _message_bytes(message: str) -> bytes:
    text = message.replace("\0", "").strip("\n") + "\n"
    return text.encode("utf-8", "replace")


def delete_ref(git_repo: pygit2.Repository, ref: str, expected_old: str | _AnyValue | None = ANY) -> None:
    """Delete a ref, packed or loose; RevisionNotFound if it does not exist."""
    check_ref(ref)
    if read_ref(git_repo, ref) is None:
        raise RevisionNotFound(lazy("Invalid rev id: %(ref)s", ref=ref))
    update_ref(git_repo, ref, None, expected_old)
