"""Branches and tags of a repository, and squashing a branch. Write access is checked before."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pygit2
from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, Conflict, Forbidden, RevisionNotFound
from llmos.features.accounts.actor import Actor
from llmos.features.repos.commit_targets import author_identity, site_identity, writable_ref
from llmos.features.repos.files import open_git
from llmos.features.repos.models import BranchRule, Repo
from llmos.features.repos.push import RefUpdate, move_refs
from llmos.infra.git.maintenance import squash
from llmos.infra.git.objects import ObjectWriter
from llmos.infra.git.refs import write_tag
from llmos.infra.git.repository import default_branch
from llmos.infra.git.revisions import (
    BRANCH_PREFIX,
    CONVERT_PREFIX,
    TAG_PREFIX,
    check_branch_name,
    check_ref,
    check_tag_name,
    read_ref,
    resolve,
)
from llmos.infra.git.writer import create_commit
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

MAX_MESSAGE_CHARS = 10_000


def is_protected(db: Session, git_repo: pygit2.Repository, repo: Repo, branch: str) -> bool:
    """Whether a branch may be neither deleted nor moved off its history."""
    if branch == default_branch(git_repo):
        return True
    patterns = db.scalars(select(BranchRule.pattern).where(BranchRule.repo_id == repo.id))
    return any(fnmatchcase(branch, pattern) for pattern in patterns)


def _branch_ref(branch: str) -> str:
    """`refs/heads/<branch>`; conversion refs may be named in full."""
    if branch.startswith(CONVERT_PREFIX):
        return check_ref(branch)
    return BRANCH_PREFIX + check_branch_name(branch)


def create_branch(
    rt: Runtime,
    actor: Actor,
    repo: Repo,
    branch: str,
    *,
    starting_point: str | None = None,
    is_empty: bool = False,
    may_overwrite: bool = False,
    is_protected_branch: bool = False,
) -> str:
    """Create (or, allowed to, move) a branch and return its commit.

    Starts at the default branch, at `starting_point`, or with an empty root commit.
    Raises InvalidRef, Conflict `Reference refs/heads/x already exists`, RevisionNotFound.
    """
    git_repo = open_git(rt, repo)
    ref = _branch_ref(branch)
    current = read_ref(git_repo, ref)
    if current is not None and not may_overwrite:
        raise Conflict(lazy("Reference %(ref)s already exists", ref=ref))
    if current is not None and is_protected_branch:
        raise Forbidden(lazy("Cannot overwrite %(ref)s: it is protected.", ref=ref))
    if is_empty:
        oid = _empty_commit(rt, actor, git_repo)
    else:
        oid = resolve(git_repo, starting_point or default_branch(git_repo))
    if oid != current:
        move_refs(rt, actor, repo.id, [RefUpdate(ref, current, oid)])
    return oid


def _empty_commit(rt: Runtime, actor: Actor, git_repo: pygit2.Repository) -> str:
    author, committer = author_identity(rt, actor), site_identity(rt)
    with ObjectWriter(git_repo) as writer:
        tree = writer.write("tree", b"")
        oid = create_commit(writer, tree, [], author=author, committer=committer, message="initial commit")
        writer.flush()
    return oid


def delete_branch(rt: Runtime, actor: Actor, repo: Repo, branch: str, *, is_protected_branch: bool) -> None:
    """Raises Forbidden `Cannot delete refs/heads/main` for a protected branch, RevisionNotFound."""
    ref = branch if branch.startswith((CONVERT_PREFIX, BRANCH_PREFIX)) else BRANCH_PREFIX + branch
    if is_protected_branch:
        raise Forbidden(lazy("Cannot delete %(ref)s: it is protected.", ref=ref))
    _delete(rt, actor, repo, ref)


def delete_tag(rt: Runtime, actor: Actor, repo: Repo, tag: str) -> None:
    """Raises RevisionNotFound where there is no such tag (a branch of that name is none)."""
    _delete(rt, actor, repo, TAG_PREFIX + tag)


def _delete(rt: Runtime, actor: Actor, repo: Repo, ref: str) -> None:
    try:
        check_ref(ref)
    except BadRequest as error:
        raise RevisionNotFound(lazy("Invalid rev id: %(ref)s", ref=ref[:200])) from error
    current = read_ref(open_git(rt, repo), ref)
    if current is None:
        raise RevisionNotFound(lazy("Invalid rev id: %(ref)s", ref=ref))
    move_refs(rt, actor, repo.id, [RefUpdate(ref, current, None)])


def create_tag(rt: Runtime, actor: Actor, repo: Repo, tag: str, rev: str, message: str | None) -> None:
    """Tag the commit `rev` names; annotated where there is a message. Conflict if the tag exists."""
    git_repo = open_git(rt, repo)
    ref = TAG_PREFIX + check_tag_name(tag)
    _check_message(message)
    if read_ref(git_repo, ref) is not None:
        raise Conflict(lazy("Reference %(ref)s already exists", ref=ref))
    target = resolve(git_repo, rev)
    if message:
        target = write_tag(git_repo, tag, target, message=message, tagger=author_identity(rt, actor))
    move_refs(rt, actor, repo.id, [RefUpdate(ref, None, target)])


def super_squash(rt: Runtime, actor: Actor, repo: Repo, rev: str, message: str | None) -> str:
    """Replace the history of a branch (or pull request) by one commit with the same files."""
    _check_message(message)
    git_repo = open_git(rt, repo)
    ref = writable_ref(rev)
    head = read_ref(git_repo, ref)
    if head is None:
        raise RevisionNotFound(lazy("Invalid rev id: %(rev)s", rev=rev[:200]))
    name = ref.removeprefix(BRANCH_PREFIX)
    oid = squash(git_repo, head, message or f"Super-squash branch '{name}'", author_identity(rt, actor))
    move_refs(rt, actor, repo.id, [RefUpdate(ref, head, oid)])
    return oid


def _check_message(message: str | None) -> None:
    if message is not None and len(message) > MAX_MESSAGE_CHARS:
        raise BadRequest(lazy("message is too long: at most %(limit)s characters.", limit=MAX_MESSAGE_CHARS))
