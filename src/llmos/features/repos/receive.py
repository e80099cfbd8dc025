"""The rules of a git push, asked after the objects have arrived and before any ref moves."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pygit2
from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, Forbidden
from llmos.features.accounts.actor import Actor
from llmos.features.repos.models import BranchRule, PullRef, Repo
from llmos.features.repos.places import git_path
from llmos.features.repos.policy import can_write, check_write
from llmos.features.repos.push import RefUpdate, can_push_pull
from llmos.features.repos.receive_content import check_content_of_push
from llmos.infra.git.repository import default_branch, open_private
from llmos.infra.git.revisions import (
    BRANCH_PREFIX,
    PULL_PREFIX,
    TAG_PREFIX,
    check_branch_name,
    check_tag_name,
    read_ref,
)
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

MAX_REFS_PER_PUSH = 10_000


class PushRefused(Forbidden):
    """The push changes nothing; the message has one or more lines for the person pushing."""

    code = "PushRefused"


def check_push_access(db: Session, actor: Actor, repo: Repo) -> None:
    """Who may start a push: writers, and authors of a pull request of the repository."""
    actor.require_user()
    if can_write(actor, repo):
        return
    own = select(PullRef.num).where(PullRef.repo_id == repo.id, PullRef.author_id == actor.user_id).limit(1)
    may_discuss = actor.allows("discussion.write", repo.namespace.name, repo.key)
    if not may_discuss or db.scalar(own) is None:
        check_write(actor, repo)


def check_push(
    rt: Runtime, actor: Actor, repo_id: int, updates: Sequence[RefUpdate], quarantine: Path | None
) -> None:
    """Raise PushRefused unless all `updates` may be made.

    `quarantine` is the folder that holds the new objects, which nobody else sees yet. Slow (reads
    every new object's header): run in a thread, without a database session of one's own.
    """
    if len(updates) > MAX_REFS_PER_PUSH:
        raise PushRefused(
            lazy("A push may change at most %(limit)s refs: push them in groups.", limit=MAX_REFS_PER_PUSH)
        )
    with rt.database.reading() as db:
        repo = db.get(Repo, repo_id)
        if repo is None or repo.disabled:
            raise PushRefused(lazy("This repository was deleted or disabled meanwhile."))
        rules = list(db.scalars(select(BranchRule.pattern).where(BranchRule.repo_id == repo.id)))
        for update in updates:
            _check_may_move(db, actor, repo, update)
    git_repo = open_private(git_path(rt, repo))
    if quarantine is not None:
        git_repo.odb.add_disk_alternate(str(quarantine))
    protected = [default_branch(git_repo), *rules]
    for update in updates:
        _check_name(git_repo, update)
        _check_history(git_repo, update, protected)
    refused = check_content_of_push(rt, repo, git_repo, updates, quarantine)
    if refused:
        raise PushRefused("\n".join(refused))


def _check_may_move(db: Session, actor: Actor, repo: Repo, update: RefUpdate) -> None:
    if can_write(actor, repo):
        return
    number = update.ref.removeprefix(PULL_PREFIX)
    is_number = number != update.ref and number.isascii() and number.isdecimal() and len(number) < 10
    if is_number and can_push_pull(db, actor, repo, int(number)):
        return
    raise PushRefused(
        lazy("You may not change %(ref)s: push to your own pull request, or ask for access.", ref=update.ref)
    )


def _check_name(git_repo: pygit2.Repository, update: RefUpdate) -> None:
    ref = update.ref
    if ref.startswith(PULL_PREFIX):
        if update.new_oid is None:
            raise PushRefused(lazy("%(ref)s cannot be deleted: close the pull request instead.", ref=ref))
        if read_ref(git_repo, ref) is None:
            raise PushRefused(
                lazy("%(ref)s does not exist: open a pull request first, then push to it.", ref=ref)
            )
        return
    if not ref.startswith((BRANCH_PREFIX, TAG_PREFIX)):
        raise PushRefused(
            lazy("%(ref)s is not accepted: push branches (refs/heads/…) and tags (refs/tags/…).", ref=ref)
        )
    if update.new_oid is None:
        return
    try:
        if ref.startswith(BRANCH_PREFIX):
            check_branch_name(ref.removeprefix(BRANCH_PREFIX))
        else:
            check_tag_name(ref.removeprefix(TAG_PREFIX))
    except BadRequest as error:
        raise PushRefused(error.message) from error


def _check_history(git_repo: pygit2.Repository, update: RefUpdate, protected: Sequence[str]) -> None:
    if not update.ref.startswith(BRANCH_PREFIX) or update.old_oid is None:
        return
    name = update.ref.removeprefix(BRANCH_PREFIX)
    if not any(fnmatchcase(name, pattern) for pattern in protected):
        return
    if update.new_oid is None:
        raise PushRefused(lazy("%(name)r is a protected branch and cannot be deleted.", name=name))
    if not _is_forward(git_repo, update.old_oid, update.new_oid):
        raise PushRefused(
            lazy(
                "%(name)r is a protected branch: history already pushed cannot be rewritten. Fetch "
                "and merge or rebase onto it, then push again without --force.",
                name=name,
            )
        )


def _is_forward(git_repo: pygit2.Repository, old: str, new: str) -> bool:
    try:
        return old == new or git_repo.descendant_of(pygit2.Oid(hex=new), pygit2.Oid(hex=old))
    except (pygit2.GitError, KeyError, ValueError):
        return False
