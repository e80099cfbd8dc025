"""Hub protocol: discussions and pull requests of a repository."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest, Forbidden
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.discussions import comments, threads
from llmos.features.discussions.merging import MergeWish, merge_pull
from llmos.features.discussions.models import MERGED, Comment, Thread
from llmos.features.discussions.policy import access_comment, access_thread
from llmos.features.discussions.pull_state import PullState, pull_patch, read_pull_state
from llmos.features.discussions.pulls import access_pull, create_pull
from llmos.features.discussions.queries import (
    ThreadFilters,
    list_all_entries,
    list_numbered,
    list_versions,
)
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import check_content
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url
from llmos.protocols.hf.answers import JsonBody, answer, query_flag, query_int
from llmos.protocols.hf.discussion_shapes import comment_json, entries_json, event_json, thread_json
from llmos.protocols.hf.target import REPO_API, TargetDep

router = Router(tags=["discussions"])

PAGE_SIZE = 50
MAX_PAGE_NUMBER = 1_000_000
BASE = REPO_API + "/discussions"
ONE = BASE + "/{num:int}"


def _words(body: dict[str, Any], field: str) -> str:
    """A text of any length: the feature says what is too long, and how long it was."""
    value = body.get(field)
    if not isinstance(value, str):
        raise BadRequest(lazy("%(field)s is missing: it must be a text.", field=field))
    return value


def _optional_words(body: dict[str, Any], field: str) -> str | None:
    return None if body.get(field) is None else _words(body, field)


@router.get(BASE)
def get_discussions(
    request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep
) -> Response:
    """Newest first, `p` from 0; `status=open` includes drafts."""
    repo = target.access(db, actor)
    page = query_int(request, "p") or 0
    if not 0 <= page <= MAX_PAGE_NUMBER:
        raise BadRequest(lazy("p must be a page number from 0."))
    asked = request.query_params
    filters = ThreadFilters(
        kind=asked.get("type") or "all",
        status=asked.get("status") or "all",
        author=asked.get("author") or "",
        text=asked.get("search") or "",
    )
    found = list_numbered(db, actor, repo, filters, page=page, limit=PAGE_SIZE)
    base = base_url(request, rt.settings)
    return answer(
        {
            "discussions": [thread_json(thread, repo, base) for thread in found.items],
            "count": found.total,
            "start": page * PAGE_SIZE,
        }
    )


@router.post(BASE)
def create_discussion(
    request: Request, rt: RuntimeDep, actor: ActorDep, target: TargetDep, body: JsonBody
) -> Response:
    """A discussion, or with `pullRequest` a draft whose `refs/pr/<num>` awaits commits."""
    title, text = _words(body, "title"), _optional_words(body, "description") or ""
    is_pull = body.get("pullRequest") is True
    if is_pull:
        with rt.database.reading() as db:
            repo = target.access(db, actor)
        num = create_pull(rt, actor, repo.id, title, text, base=_optional_words(body, "baseRef"))
    else:
        with rt.database.writing() as db:
            repo = target.access(db, actor)
            num = threads.open_thread(db, actor, repo, title, text).num
    page = f"{base_url(request, rt.settings)}/{repo.repo_type.url_prefix}{repo.repo_name}/discussions/{num}"
    return answer({"num": num, "url": page, "pullRequest": is_pull})


@router.get(ONE)
def get_discussion(
    request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep, num: int
) -> Response:
    """One thread with all that happened in it; of a pull request also what git says, and with
    `diff=1` its changes, for those who may read the files."""
    repo = target.access(db, actor)
    thread = access_thread(db, actor, repo, num)
    base = base_url(request, rt.settings)
    entries = list_all_entries(db, thread)
    edited = [entry for entry in entries if isinstance(entry, Comment)]
    value = thread_json(thread, repo, base)
    value["events"] = entries_json(entries, list_versions(db, edited), base)
    if thread.is_pull_request:
        state = read_pull_state(rt, repo, thread)
        value |= _pull_json(thread, state)
        if query_flag(request, "diff") and _may_read_files(db, actor, repo):
            value["diff"] = pull_patch(rt, repo, state)
    return answer(value)


def _may_read_files(db: Session, actor: Actor, repo: Repo) -> bool:
    try:
        check_content(db, actor, repo)
    except Forbidden:
        return False
    return True


def _pull_json(thread: Thread, state: PullState) -> dict[str, Any]:
    changes: dict[str, Any] = {"base": state.base_ref}
    if thread.status == MERGED and thread.pull is not None and thread.pull.merge_oid:
        changes["mergeCommitId"] = thread.pull.merge_oid
    if state.head_oid is not None:
        changes["head"] = state.head_oid
    gone = {"baseDeleted": True} if state.is_branch_gone else {}
    return {"changes": changes, "filesWithConflicts": list(state.conflicts), **gone}


@router.post(ONE + "/comment")
def comment_discussion(
    request: Request,
    rt: RuntimeDep,
    actor: ActorDep,
    body: JsonBody,
    db: WriteDb,
    target: TargetDep,
    num: int,
) -> Response:
    thread = access_thread(db, actor, target.access(db, actor), num)
    made = comments.add_comment(db, actor, thread, _words(body, "comment"))
    return answer({"newMessage": comment_json(made, base_url(request, rt.settings))})


@router.post(ONE + "/comment/{comment_id:seg}/edit")
def edit_comment(
    request: Request,
    rt: RuntimeDep,
    actor: ActorDep,
    body: JsonBody,
    db: WriteDb,
    target: TargetDep,
    num: int,
    comment_id: str,
) -> Response:
    """With `version`, refused (409) where the comment has another one by now."""
    thread = access_thread(db, actor, target.access(db, actor), num)
    comment = access_comment(db, actor, thread, comment_id)
    version = body.get("version")
    if version is not None and type(version) is not int:
        raise BadRequest(lazy("version must be a whole number."))
    text = _words(body, "content")
    comment = comments.edit_comment(db, actor, thread, comment, text, if_version=version)
    history = list_versions(db, [comment]).get(comment.id, [])
    return answer({"updatedComment": comment_json(comment, base_url(request, rt.settings), history)})


@router.post(ONE + "/comment/{comment_id:seg}/hide")
def hide_comment(
    request: Request,
    rt: RuntimeDep,
    actor: ActorDep,
    body: JsonBody,
    db: WriteDb,
    target: TargetDep,
    num: int,
    comment_id: str,
) -> Response:
    thread = access_thread(db, actor, target.access(db, actor), num)
    comment = access_comment(db, actor, thread, comment_id)
    reason = _optional_words(body, "reason") or ""
    comment = comments.hide_comment(db, actor, thread, comment, reason)
    return answer({"updatedComment": comment_json(comment, base_url(request, rt.settings))})


@router.post(ONE + "/title")
def rename_discussion(
    request: Request,
    rt: RuntimeDep,
    actor: ActorDep,
    body: JsonBody,
    db: WriteDb,
    target: TargetDep,
    num: int,
) -> Response:
    thread = access_thread(db, actor, target.access(db, actor), num)
    event = threads.rename_thread(db, actor, thread, _words(body, "title"))
    return answer({"newTitle": event_json(event, base_url(request, rt.settings))})


@router.post(ONE + "/status")
def change_discussion_status(
    request: Request,
    rt: RuntimeDep,
    actor: ActorDep,
    body: JsonBody,
    db: WriteDb,
    target: TargetDep,
    num: int,
) -> Response:
    thread = access_thread(db, actor, target.access(db, actor), num)
    status, words = _words(body, "status"), _optional_words(body, "comment")
    event = threads.set_status(db, actor, thread, status, words)
    return answer({"newStatus": event_json(event, base_url(request, rt.settings))})


@router.post(ONE + "/merge")
def merge_discussion(
    rt: RuntimeDep, actor: ActorDep, body: JsonBody, target: TargetDep, num: int
) -> Response:
    """Squash the pull request into its base (`method`: `merge` keeps its commits); 409 names the
    files in conflict, or says that somebody was faster."""
    wish = MergeWish(
        comment=_optional_words(body, "comment"),
        method=_optional_words(body, "method") or "squash",
        head_oid=_optional_words(body, "head"),
    )
    thread_id = _pull_id(rt, actor, target, num)
    return answer({"mergeCommitId": merge_pull(rt, actor, thread_id, wish)})


def _pull_id(rt: Runtime, actor: Actor, target: TargetDep, num: int) -> int:
    with rt.database.reading() as db:
        return access_pull(db, actor, target.access(db, actor), num).id
