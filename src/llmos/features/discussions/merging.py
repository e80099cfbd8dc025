"""Merging a pull request: one wins, everyone else is told and keeps their words."""

from __future__ import annotations

from dataclasses import dataclass

import pygit2
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict
from llmos.features.accounts.actor import Actor
from llmos.features.discussions import events
from llmos.features.discussions.comments import post_comment
from llmos.features.discussions.events import tell
from llmos.features.discussions.models import DRAFT, MERGED, OPEN, Comment, PullRequest, Thread
from llmos.features.discussions.policy import check_can_comment, thread_not_found
from llmos.features.discussions.pull_state import PullState, list_pull_commits, pull_ref, read_pull_state
from llmos.features.discussions.reviews import check_gate, read_gate
from llmos.features.discussions.texts import check_text, closing_numbers
from llmos.features.discussions.threads import change_status, close_named, lock_thread_row
from llmos.features.repos.commit_targets import author_identity, site_identity
from llmos.features.repos.models import Repo
from llmos.features.repos.places import open_git
from llmos.features.repos.policy import check_write
from llmos.features.repos.push import Record, RefConflict, RefUpdate, move_refs
from llmos.infra.git.commits import CommitInfo
from llmos.infra.git.merge import merge_commits
from llmos.infra.git.objects import ObjectWriter
from llmos.infra.git.revisions import read_ref
from llmos.infra.git.trees import tree_of
from llmos.infra.git.writer import create_commit
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

METHODS = ("squash", "merge")
MAX_ATTEMPTS = 5
MAX_LISTED_COMMITS = 50


@dataclass(frozen=True, slots=True)
class MergeWish:
    """What was asked for: `head_oid` is the commit the person saw, None for whatever there is;
    `message` replaces the words of the commit."""

    comment: str | None = None
    method: str = "squash"
    head_oid: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    thread: Thread
    repo: Repo
    pull: PullRequest
    state: PullState
    description: str


def merge_pull(rt: Runtime, actor: Actor, thread_id: int, wish: MergeWish = MergeWish()) -> str:
    """Bring the pull request into its base branch; the commit that did it.

    A squash is one commit on the base, a merge one with two parents. Where there is nothing left
    to bring, the base itself is the answer. Raises Forbidden (role, token, approvals, checks),
    and Conflict (409): MergeConflict with `files`, BranchDeleted, IsDraft, StatusChanged (somebody
    was faster), HeadMoved; `data["text"]` holds the comment. Opens its own transactions.
    """
    if wish.method not in METHODS:
        raise BadRequest(lazy("method must be one of %(list)s.", list=", ".join(METHODS)))
    has_words = wish.comment is not None and bool(wish.comment.strip())
    text = check_text(wish.comment) if has_words and wish.comment else ""
    if wish.message is not None:
        check_text(wish.message, "message")
    for _ in range(MAX_ATTEMPTS):
        plan = _plan(rt, actor, thread_id)
        _check_mergeable(plan, wish, text)
        try:
            return _merge(rt, actor, plan, wish, text)
        except RefConflict:
            # Somebody pushed to the base between the merge and the move: merge again on top.
            continue
    raise _refusal("BaseBusy", lazy("The branch is changing too quickly: try again in a moment."), text)


def _refusal(code: str, message: str, text: str, **data: object) -> Conflict:
    return Conflict(message, code=code, data={"reason": code, "text": text, **data})


def _plan(rt: Runtime, actor: Actor, thread_id: int) -> _Plan:
    with rt.database.reading() as db:
        options = (joinedload(Thread.pull), joinedload(Thread.repo))
        thread = db.scalars(select(Thread).where(Thread.id == thread_id).options(*options)).unique().first()
        if thread is None or thread.repo is None or thread.pull is None:
            raise thread_not_found(0)
        check_write(actor, thread.repo)
        check_can_comment(db, actor, thread)
        state = read_pull_state(rt, thread.repo, thread)
        if thread.status == OPEN:
            check_gate(read_gate(db, thread.repo, thread, state.head_oid))
        first = db.get(Comment, thread.first_comment_id) if thread.first_comment_id else None
        return _Plan(thread, thread.repo, thread.pull, state, first.text if first else "")


def _check_status(status: str, text: str) -> None:
    if status == DRAFT:
        message = lazy("This pull request is a draft: mark it as ready first.")
        raise _refusal("IsDraft", message, text, status=status)
    if status != OPEN:
        message = lazy("Nothing was changed: this pull request is already %(status)s.", status=status)
        raise _refusal("StatusChanged", message, text, status=status)


def _check_mergeable(plan: _Plan, wish: MergeWish, text: str) -> None:
    _check_status(plan.thread.status, text)
    state = plan.state
    if state.base_oid is None:
        message = lazy(
            "The branch %(branch)r was deleted: there is nothing to merge into.", branch=state.base_name
        )
        raise _refusal("BranchDeleted", message, text, branch=state.base_name)
    if state.head_oid is None:
        message = lazy("The commits of this pull request are gone: close it, or push them again.")
        raise _refusal("HeadDeleted", message, text)
    if wish.head_oid is not None and wish.head_oid != state.head_oid:
        message = lazy("New commits were pushed meanwhile: look at them, then merge again.")
        raise _refusal("HeadMoved", message, text, head=state.head_oid)
    if state.conflicts:
        message = lazy(
            "These files changed on both sides and must be resolved first: %(files)s.",
            files=", ".join(state.conflicts[:20]),
        )
        raise _refusal("MergeConflict", message, text, files=list(state.conflicts))


def _merge(rt: Runtime, actor: Actor, plan: _Plan, wish: MergeWish, text: str) -> str:
    base, head = plan.state.base_oid, plan.state.head_oid
    assert base is not None
    assert head is not None
    git_repo = open_git(rt, plan.repo)
    if plan.state.fork_oid == head:
        record = _record(git_repo, actor, plan, wish, text, base, [])
        with rt.database.writing() as db:
            repo = db.get(Repo, plan.repo.id)
            assert repo is not None
            record(db, repo)
        return base
    commits = list_pull_commits(git_repo, base, head)
    oid = _write_commit(rt, actor, plan, wish, git_repo, commits)
    record = _record(git_repo, actor, plan, wish, text, oid, commits)
    move_refs(rt, actor, plan.repo.id, [RefUpdate(plan.state.base_ref, base, oid)], also=record)
    return oid


def _write_commit(
    rt: Runtime,
    actor: Actor,
    plan: _Plan,
    wish: MergeWish,
    git_repo: pygit2.Repository,
    commits: list[CommitInfo],
) -> str:
    base, head = plan.state.base_oid, plan.state.head_oid
    assert base is not None
    assert head is not None
    is_forward = plan.state.fork_oid == base
    tree = tree_of(git_repo, head) if is_forward else merge_commits(git_repo, base, head).tree
    if tree is None:
        raise _refusal("MergeConflict", lazy("Files changed on both sides meanwhile."), "", files=[])
    author, method = plan.thread.author, wish.method
    writer_name = Actor(name=author.name) if author is not None and method == "squash" else actor
    with ObjectWriter(git_repo) as writer:
        oid = create_commit(
            writer,
            tree,
            [base] if method == "squash" else [base, head],
            author=author_identity(rt, writer_name),
            committer=site_identity(rt),
            message=(wish.message or "").strip() or merge_message(plan.thread, method, commits),
        )
        writer.flush()
    return oid


def merge_message(thread: Thread, method: str, commits: list[CommitInfo]) -> str:
    """The words of the commit of a merge where nobody chose others."""
    if method == "merge":
        return f"Merge pull request #{thread.num}\n\n{thread.title}"
    lines = [f"- {info.title} ({info.oid})" for info in commits[:MAX_LISTED_COMMITS]]
    if len(commits) > MAX_LISTED_COMMITS:
        lines.append(f"- and {len(commits) - MAX_LISTED_COMMITS} more")
    return f"{thread.title} (#{thread.num})\n\n" + "\n".join(lines)


def _record(
    git_repo: pygit2.Repository,
    actor: Actor,
    plan: _Plan,
    wish: MergeWish,
    text: str,
    merge_oid: str,
    commits: list[CommitInfo],
) -> Record:
    """What the merge changes in the rows, in the transaction that moves the base."""
    said = "\n".join([plan.description, text, wish.message or "", *(info.message for info in commits)])

    def record(db: Session, repo: Repo) -> None:
        thread = lock_thread_row(db, plan.thread.id)
        _check_status(thread.status, text)
        head = read_ref(git_repo, pull_ref(thread.num))
        if head != plan.state.head_oid:
            message = lazy("New commits were pushed meanwhile: look at them, then merge again.")
            raise _refusal("HeadMoved", message, text, head=head)
        pull = db.get(PullRequest, thread.id)
        assert pull is not None
        pull.head_oid = plan.state.head_oid
        pull.merge_oid, pull.merged_base_oid = merge_oid, plan.state.base_oid
        pull.merge_method, pull.merged_at, pull.merged_by_id = wish.method, clock.now(), actor.user_id
        if text:
            post_comment(db, actor, thread, text)
        change_status(db, actor, thread, MERGED, oid=merge_oid)
        tell(db, events.PULL_MERGED, actor, thread_id=thread.id, merge_oid=merge_oid)
        close_named(db, actor, repo.id, closing_numbers(said), by=f"#{thread.num}")

    return record
