"""Pull requests come to be, and grow: rows that go with `refs/pr/<num>`, however it moves."""

from __future__ import annotations

from collections.abc import Sequence

import pygit2
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from llmos.core.errors import BadRequest, LlmosError, RevisionNotFound
from llmos.features.accounts.actor import Actor
from llmos.features.discussions import events
from llmos.features.discussions import keeping as _keeping  # noqa: F401  # deleted with its repository
from llmos.features.discussions.events import add_event
from llmos.features.discussions.models import (
    DISCUSSION,
    DRAFT,
    OPEN,
    PULL_REQUEST,
    PullRequest,
    Thread,
)
from llmos.features.discussions.policy import access_thread, check_can_open, screen_text
from llmos.features.discussions.pull_state import list_pull_commits
from llmos.features.discussions.texts import check_text, check_title, closing_numbers, shorten_title
from llmos.features.discussions.threads import close_named, insert_thread
from llmos.features.repos.models import Repo
from llmos.features.repos.places import open_git
from llmos.features.repos.policy import can_write, check_content
from llmos.features.repos.push import (
    OpenedPull,
    Record,
    RefUpdate,
    open_pull,
    pull_opened,
    refs_moving,
)
from llmos.infra.git.commits import CommitInfo, get_commit
from llmos.infra.git.merge import is_ancestor, merge_base
from llmos.infra.git.repository import default_branch
from llmos.infra.git.revisions import BRANCH_PREFIX, PULL_PREFIX, check_branch_name, read_ref
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

MAX_COMMIT_EVENTS = 50
MAX_READ_COMMITS = 200


def create_pull(
    rt: Runtime, actor: Actor, repo_id: int, title: str, description: str, *, base: str | None = None
) -> int:
    """Open a draft with an empty `refs/pr/<num>` at the head of `base` (None: the default branch).

    Commits go to its ref; `set_status(…, "open")` offers it. Raises as `check_can_open`, GatedRepo,
    BadRequest (title, description, a repository without commits), RevisionNotFound (base).
    Opens its own transaction.
    """
    title = check_title(title)
    description = check_text(description, "description", may_be_empty=True)
    with rt.database.reading() as db:
        repo = db.get(Repo, repo_id)
        assert repo is not None
        check_can_open(db, actor, repo)
        screen_text(db, actor, repo, f"{title}\n{description}")
        check_content(db, actor, repo)
    git_repo = open_git(rt, repo)
    ref = BRANCH_PREFIX + (check_branch_name(base) if base else default_branch(git_repo))
    head = read_ref(git_repo, ref)
    if head is None and base:
        raise RevisionNotFound(lazy("Invalid rev id: there is no branch %(base)r.", base=base[:200]))
    if head is None:
        raise BadRequest(lazy("The repository has no commits yet: push something to it first."))
    return open_pull(
        rt,
        actor,
        repo_id,
        base_ref=ref,
        base_oid=head,
        head_oid=head,
        title=title,
        description=description,
        is_draft=True,
    )


def _record_opened(db: Session, actor: Actor, repo: Repo, opened: OpenedPull) -> None:
    """The thread of a pull request, in the transaction that makes its ref."""
    check_can_open(db, actor, repo)
    thread = Thread(
        kind=PULL_REQUEST,
        repo_id=repo.id,
        repo=repo,
        num=opened.num,
        status=DRAFT if opened.is_draft else OPEN,
    )
    text = check_text(opened.description, "description", may_be_empty=True)
    insert_thread(db, actor, thread, shorten_title(opened.title), text)
    pull = PullRequest(thread_id=thread.id, base_ref=opened.base_ref, base_oid=opened.base_oid)
    pull.head_oid = opened.head_oid
    db.add(pull)
    if opened.head_oid != opened.base_oid:
        data = {"subject": opened.title, "oid": opened.head_oid}
        add_event(db, actor, thread, events.COMMIT, data)
    db.flush()


def _look_at(rt: Runtime, actor: Actor, repo: Repo, updates: Sequence[RefUpdate]) -> Record | None:
    """Read what moves before the transaction: commits of pull requests, closing words, lost branches."""
    git_repo = open_git(rt, repo)
    head_ref = BRANCH_PREFIX + default_branch(git_repo)
    records: list[Record] = []
    for update in updates:
        if update.ref.startswith(PULL_PREFIX):
            records.append(_pull_moved(git_repo, actor, update))
        elif update.ref.startswith(BRANCH_PREFIX) and update.new_oid is None:
            records.append(_branch_gone(actor, update.ref))
        elif update.ref == head_ref and update.old_oid is not None and can_write(actor, repo):
            records.append(_closing_words(git_repo, actor, update))
    if not records:
        return None

    def record_all(db: Session, row: Repo) -> None:
        for record in records:
            record(db, row)

    return record_all


def _pull_moved(git_repo: pygit2.Repository, actor: Actor, update: RefUpdate) -> Record:
    num = int(update.ref.removeprefix(PULL_PREFIX))
    commits, is_forced = _new_commits(git_repo, update)

    def record(db: Session, repo: Repo) -> None:
        thread = _get_pull_thread(db, repo.id, num)
        if thread is None or thread.pull is None:
            return
        thread.pull.head_oid = update.new_oid
        for info in commits[-MAX_COMMIT_EVENTS:]:
            data = {"subject": info.title, "oid": info.oid}
            add_event(db, actor, thread, events.COMMIT, data | ({"forced": True} if is_forced else {}))

    return record


def _new_commits(git_repo: pygit2.Repository, update: RefUpdate) -> tuple[list[CommitInfo], bool]:
    """The commits a ref has gained, oldest first, and whether its history was rewritten.

    What came in by a merge of the default branch is no work of the pull request.
    """
    if update.new_oid is None:
        return [], False
    if update.old_oid is None:
        return [get_commit(git_repo, update.new_oid)], False
    try:
        is_forced = not is_ancestor(git_repo, update.old_oid, update.new_oid)
        known = merge_base(git_repo, update.old_oid, update.new_oid) if is_forced else update.old_oid
        base = read_ref(git_repo, BRANCH_PREFIX + default_branch(git_repo))
        gained = list_pull_commits(git_repo, known, update.new_oid, base, limit=MAX_READ_COMMITS)
        return gained, is_forced
    except LlmosError:
        # A tag object or another thing that has no history: nothing to tell.
        return [], False


def _get_pull_thread(db: Session, repo_id: int, num: int) -> Thread | None:
    statement = (
        select(Thread)
        .where(Thread.repo_id == repo_id, Thread.num == num, Thread.kind == PULL_REQUEST)
        .options(joinedload(Thread.pull))
    )
    return db.scalars(statement).unique().one_or_none()


def _branch_gone(actor: Actor, ref: str) -> Record:
    def record(db: Session, repo: Repo) -> None:
        statement = (
            select(Thread)
            .join(PullRequest, PullRequest.thread_id == Thread.id)
            .where(Thread.repo_id == repo.id, Thread.status.in_((OPEN, DRAFT)), PullRequest.base_ref == ref)
        )
        for thread in db.scalars(statement).unique():
            add_event(db, actor, thread, events.BRANCH_DELETED, {"ref": ref})

    return record


def _closing_words(git_repo: pygit2.Repository, actor: Actor, update: RefUpdate) -> Record:
    commits, _ = _new_commits(git_repo, update)
    named = [(number, info.oid) for info in commits for number in closing_numbers(info.message)]

    def record(db: Session, repo: Repo) -> None:
        for number, oid in named:
            close_named(db, actor, repo.id, [number], by=oid)

    return record


def access_pull(db: Session, actor: Actor, repo: Repo, num: int) -> Thread:
    """The pull request with this number; BadRequest where the number is a discussion's."""
    thread = access_thread(db, actor, repo, num)
    if thread.kind == DISCUSSION:
        raise BadRequest(lazy("#%(num)s is a discussion, not a pull request.", num=num))
    return thread


pull_opened.append(_record_opened)
refs_moving.append(_look_at)
