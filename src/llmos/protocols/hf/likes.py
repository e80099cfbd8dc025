"""Hub protocol: likes."""

from __future__ import annotations

from fastapi import Request
from sqlalchemy import select
from starlette.responses import Response

from llmos.core import clock
from llmos.core.errors import NotFound
from llmos.core.names import name_key
from llmos.features.accounts.avatars import avatar_url
from llmos.features.accounts.models import Namespace
from llmos.features.auth.edge import ActorDep
from llmos.features.repos.likes import like_repo, list_liked_repos, list_likers, unlike_repo
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url
from llmos.protocols.hf.answers import answer, page_answer, query_int
from llmos.protocols.hf.target import REPO_API, TargetDep

router = Router(tags=["likes"])


@router.post(REPO_API + "/like")
def post_like(actor: ActorDep, db: WriteDb, target: TargetDep) -> Response:
    return answer({"likes": like_repo(db, actor, target.access(db, actor)), "liked": True})


@router.delete(REPO_API + "/like")
def delete_like(actor: ActorDep, db: WriteDb, target: TargetDep) -> Response:
    return answer({"likes": unlike_repo(db, actor, target.access(db, actor)), "liked": False})


@router.get(REPO_API + "/likers")
def get_likers(rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep, request: Request) -> Response:
    page = list_likers(
        db,
        target.access(db, actor),
        cursor=request.query_params.get("cursor"),
        limit=query_int(request, "limit"),
    )
    base = base_url(request, rt.settings)
    return page_answer(
        request,
        rt.settings,
        page.map(
            lambda item: {
                "_id": item.namespace.object_id,
                "user": item.namespace.name,
                "fullname": item.namespace.fullname or item.namespace.name,
                "avatarUrl": base + avatar_url(item.namespace),
                "type": item.namespace.kind,
            }
        ),
    )


@router.get("/api/users/{user:seg}/likes")
def get_user_likes(rt: RuntimeDep, db: ReadDb, actor: ActorDep, request: Request, user: str) -> Response:
    statement = select(Namespace.id).where(Namespace.name_key == name_key(user), Namespace.kind == "user")
    user_id = db.scalar(statement)
    if user_id is None:
        raise NotFound(f"There is no user called {user!r}.")
    page = list_liked_repos(
        db, actor, user_id, cursor=request.query_params.get("cursor"), limit=query_int(request, "limit")
    )
    return page_answer(
        request,
        rt.settings,
        page.map(
            lambda item: {
                "createdAt": clock.to_json(item.liked_at),
                "repo": {"name": item.repo_name, "type": item.type},
            }
        ),
    )
