"""Bodies of webhooks: payload version 3 of the Hub (`https://huggingface.co/docs/hub/webhooks`)."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from llmos.core.repo_types import RepoType
from llmos.features.accounts.models import Namespace
from llmos.features.discussions.hrefs import thread_href
from llmos.features.discussions.models import Comment, PullRequest, Thread
from llmos.features.repos.models import Repo
from llmos.features.repos.naming import repo_path

Json = dict[str, Any]


def repo_json(site: str, repo_type: str, repo_name: str, object_id: str, owner_id: str) -> Json:
    """What is known of a repository even after it was deleted."""
    kind = RepoType(repo_type)
    return {
        "type": repo_type,
        "name": repo_name,
        "id": object_id,
        "private": False,
        "url": {
            "web": site + repo_path(kind, repo_name),
            "api": f"{site}/api/{kind.plural}/{repo_name}",
        },
        "owner": {"id": owner_id},
    }


def live_repo_json(site: str, repo: Repo, *, with_content: bool) -> Json:
    """A repository that is there; `with_content` for the scopes that begin with `repo`."""
    body = repo_json(site, repo.type, repo.repo_name, repo.object_id, repo.namespace.object_id)
    body["private"] = repo.is_private
    if with_content:
        body["tags"] = list(repo.tags or [])
        if repo.head_oid:
            body["headSha"] = repo.head_oid
    return body


def thread_object_id(thread: Thread) -> str:
    """24 hex digits for a thread, always the same."""
    return f"{int(thread.created_at.timestamp()) & 0xFFFFFFFF:08x}{thread.id:016x}"


def _person_id(db: Session, user_id: int | None) -> Json:
    person = db.get(Namespace, user_id) if user_id else None
    return {"id": person.object_id if person else "0" * 24}


def discussion_json(db: Session, site: str, thread: Thread) -> Json:
    repo = thread.repo
    assert repo is not None
    api = f"{site}/api/{repo.repo_type.plural}/{repo.repo_name}/discussions/{thread.num}"
    body: Json = {
        "id": thread_object_id(thread),
        "title": thread.title,
        "url": {"web": site + thread_href(thread), "api": api},
        "status": thread.status,
        "author": _person_id(db, thread.author_id),
        "num": thread.num,
        "isPullRequest": thread.is_pull_request,
        "pinned": thread.is_pinned,
    }
    pull = db.get(PullRequest, thread.id) if thread.is_pull_request else None
    if pull is not None:
        body["changes"] = {"base": pull.base_ref}
        if pull.merge_oid:
            body["changes"]["mergeCommitId"] = pull.merge_oid
    return body


def comment_json(db: Session, site: str, thread: Thread, comment: Comment) -> Json:
    body: Json = {
        "id": comment.public_id,
        "author": _person_id(db, comment.author_id),
        "hidden": comment.is_hidden,
        "url": {"web": f"{site}{thread_href(thread)}#{comment.public_id}"},
    }
    if not comment.is_hidden:
        body["content"] = comment.text
    return body
