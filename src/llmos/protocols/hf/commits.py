"""Hub protocol: the history of a revision."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import Query, Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.clock import to_json
from llmos.core.errors import BadRequest
from llmos.core.pagination import check_limit
from llmos.features.accounts.avatars import avatar_url
from llmos.features.accounts.models import Namespace
from llmos.features.auth.edge import ActorDep
from llmos.features.repos.files import open_git
from llmos.infra.git.commits import CommitInfo, count_commits, list_commits
from llmos.infra.git.revisions import resolve
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url
from llmos.protocols.hf.links import next_link
from llmos.protocols.hf.target import REPO_API, TargetDep
from llmos.protocols.hf.tree import json_response

router = Router(tags=["content"])

DEFAULT_PAGE, MAX_PAGE = 50, 1000
MAX_PAGE_NUMBER = 10_000_000


@router.get(REPO_API + "/commits/{rev:rest}")
def get_commits(
    request: Request,
    rt: RuntimeDep,
    db: ReadDb,
    actor: ActorDep,
    target: TargetDep,
    rev: str,
    p: int = 0,
    limit: int | None = None,
    path: str | None = None,
    expand: list[str] = Query([]),
    expand_list: list[str] = Query([], alias="expand[]"),
) -> Response:
    """Newest first; further pages stay on the commit the first one resolved to."""
    if not 0 <= p <= MAX_PAGE_NUMBER:
        raise BadRequest(lazy("p must be a page number from 0."))
    repo = target.access(db, actor)
    git_repo = open_git(rt, repo)
    commit = resolve(git_repo, rev)
    size = check_limit(limit, default=DEFAULT_PAGE, maximum=MAX_PAGE)
    commits = list_commits(git_repo, commit, skip=p * size, limit=size, path=path or None)
    total = count_commits(git_repo, commit, path or None)
    headers = {"X-Total-Count": str(total), "X-Repo-Commit": commit}
    if commits and (p + 1) * size < total:
        pinned = f"{request.scope['path'].split('/commits/', 1)[0]}/commits/{commit}"
        headers |= next_link(request, rt.settings, {"p": str(p + 1), "limit": str(size)}, path=pinned)
    formatted = "formatted" in (*expand, *expand_list)
    known = _known_authors(db, commits, base_url(request, rt.settings))
    return json_response([commit_json(info, known, formatted) for info in commits], headers)


def _known_authors(db: Session, commits: list[CommitInfo], base: str) -> dict[str, dict[str, str]]:
    """Names as their owners write them, with pictures, by what commits call their authors, in lower case."""
    names = sorted({info.author_name.lower() for info in commits})[:500]
    found = db.scalars(select(Namespace).where(Namespace.name_key.in_(names), Namespace.kind == "user"))
    return {user.name_key: {"user": user.name, "avatar": base + avatar_url(user)} for user in found}


def commit_json(info: CommitInfo, known: dict[str, dict[str, str]], formatted: bool) -> dict[str, Any]:
    """`user` is a name of this instance where the author has one, else what the commit says."""
    author = known.get(info.author_name.lower(), {"user": info.author_name, "avatar": ""})
    value: dict[str, Any] = {
        "id": info.oid,
        "title": info.title,
        "message": info.body,
        "authors": [author],
        "date": to_json(info.committed_at),
    }
    if formatted:
        value["formatted"] = {
            "title": escape(info.title),
            "message": escape(info.body).replace("\n", "<br>\n"),
        }
    return value
