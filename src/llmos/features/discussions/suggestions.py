"""Suggestions: a comment on lines that says what they should be, applied as a commit."""

from __future__ import annotations

import re

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from llmos.core.errors import BadRequest, Conflict
from llmos.features.accounts.actor import Actor
from llmos.features.discussions.comments import resolve_comment
from llmos.features.discussions.models import DRAFT, OPEN, Comment, Thread
from llmos.features.discussions.policy import thread_not_found
from llmos.features.discussions.pull_state import pull_ref
from llmos.features.repos.commit_targets import open_target
from llmos.features.repos.commits import CommitDraft
from llmos.features.repos.files import get_file, open_git
from llmos.features.repos.models import Repo
from llmos.infra.git.revisions import read_ref
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

_BLOCK = re.compile(r"^(`{3,}|~{3,})suggestion[^\S\n]*\n(.*?)^\1[^\S\n]*$", re.MULTILINE | re.DOTALL)


def find_suggestion(text: str) -> str | None:
    """The lines a ```` ```suggestion ```` block of a comment offers; None without one."""
    match = _BLOCK.search(text if text.endswith("\n") else text + "\n")
    return match[2] if match else None


def apply_suggestion(rt: Runtime, actor: Actor, comment_id: int) -> str:
    """Commit what the comment suggests to its pull request, and settle the comment; the commit's id.

    For the pull request's author and writers. Raises BadRequest where the comment suggests
    nothing for the new side of a file, Conflict (409) `StatusChanged` for a closed pull request
    and `LinesChanged` where the lines are no longer those it was written on.
    """
    with rt.database.reading() as db:
        comment = db.get(Comment, comment_id)
        options = (joinedload(Thread.pull), joinedload(Thread.repo))
        wanted = select(Thread).where(Thread.id == (comment.thread_id if comment else 0)).options(*options)
        thread = db.scalars(wanted).unique().first()
        if comment is None or thread is None or thread.repo is None or thread.pull is None:
            raise thread_not_found(0)
        if thread.status not in (OPEN, DRAFT):
            message = lazy(
                "Nothing was changed: this pull request is already %(status)s.", status=thread.status
            )
            raise Conflict(message, code="StatusChanged", data={"status": thread.status})
        repo, namespace = thread.repo, thread.repo.namespace.name
        target = open_target(db, rt, actor, repo.repo_type, namespace, repo.name, pull_ref(thread.num))
    data = _suggested(rt, repo, thread, comment)
    assert comment.path is not None
    with CommitDraft(rt, actor, target) as draft:
        draft.set_header(f"Apply suggestion to {comment.path}"[:250], _credit(actor, comment), target.head)
        draft.add_file(comment.path, data)
        oid = draft.finish().commit_oid
    with rt.database.writing() as db:
        row, held = db.get(Comment, comment.id), db.get(Thread, thread.id)
        if row is not None and held is not None:
            resolve_comment(db, actor, held, row, True)
    return oid


def _credit(actor: Actor, comment: Comment) -> str:
    author = comment.author
    if author is None or author.id == actor.user_id:
        return ""
    return f"Suggested-by: {author.name}"


def _suggested(rt: Runtime, repo: Repo, thread: Thread, comment: Comment) -> bytes:
    """The whole file with the suggested lines in place."""
    offered = find_suggestion(comment.text)
    if offered is None or comment.path is None or comment.line is None or comment.oid is None:
        raise BadRequest(lazy("This comment does not suggest a change of lines."))
    if comment.side != "new" or comment.is_hidden:
        raise BadRequest(lazy("Only a visible suggestion on lines the pull request has can be applied."))
    git_repo = open_git(rt, repo)
    head = read_ref(git_repo, pull_ref(thread.num))
    now = get_file(git_repo, head, comment.path)
    then = get_file(git_repo, comment.oid, comment.path)
    first, last = (comment.start_line or comment.line) - 1, comment.line
    lines = (now or b"").splitlines(keepends=True)
    if now is None or then is None or last > len(lines):
        raise _changed()
    if then.splitlines(keepends=True)[first:last] != lines[first:last]:
        raise _changed()
    return b"".join([*lines[:first], _with_ends_of(offered, lines[last - 1]), *lines[last:]])


def _with_ends_of(offered: str, line: bytes) -> bytes:
    """The offered lines with the line ends of the file, and without one where its last line has none."""
    data = offered.encode()
    if line.endswith(b"\r\n"):
        data = data.replace(b"\n", b"\r\n")
    if not line.endswith(b"\n"):
        data = data.removesuffix(b"\n")
    return data


def _changed() -> Conflict:
    return Conflict(
        lazy("The lines changed since this was suggested: edit the file by hand."), code="LinesChanged"
    )
