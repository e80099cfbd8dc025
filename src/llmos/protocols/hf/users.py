"""Hub protocol: people and organisations, their followers and members."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query, Request
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse

from llmos.core.clock import to_json
from llmos.core.pagination import Page
from llmos.core.repo_types import RepoType
from llmos.features.accounts import queries, service
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.avatars import avatar_url
from llmos.features.accounts.models import Namespace
from llmos.features.accounts.policy import access_organization, access_user
from llmos.features.accounts.queries import NamespaceCard
from llmos.features.auth.edge import ActorDep
from llmos.features.discussions.counts import count_opened
from llmos.features.repos.counts import count_likes, count_repos
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url
from llmos.protocols.hf.links import next_link

router = Router(tags=["people"])


class _Asked:
    """One page of a list: what was asked for, and the answer with its `Link`."""

    def __init__(
        self,
        request: Request,
        rt: RuntimeDep,
        limit: Annotated[int | None, Query(description="Entries a page.")] = None,
        cursor: Annotated[str | None, Query(description="From the `Link` of the page before.")] = None,
    ) -> None:
        self.request, self.rt, self.limit, self.cursor = request, rt, limit, cursor

    def answer(self, page: Page[NamespaceCard]) -> JSONResponse:
        base = base_url(self.request, self.rt.settings)
        headers = None
        if page.next_cursor:
            headers = next_link(self.request, self.rt.settings, {"cursor": page.next_cursor})
        return JSONResponse([_card(base, card) for card in page.items], headers=headers)


Asked = Annotated[_Asked, Depends(_Asked)]


def _counts(db: Session, actor: Actor, namespace: Namespace) -> dict[str, int]:
    counts = count_repos(db, actor, namespace)
    return {
        "numModels": counts[RepoType.MODEL],
        "numDatasets": counts[RepoType.DATASET],
        "numSpaces": counts[RepoType.SPACE],
        "numKernels": counts[RepoType.KERNEL],
        "numFollowers": queries.count_followers(db, namespace),
    }


@router.get("/api/users/{name:seg}/overview")
def get_user_overview(
    request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, name: str
) -> JSONResponse:
    user = access_user(db, actor, name)
    base = base_url(request, rt.settings)
    memberships = queries.list_memberships(db, user.id)
    orgs = [_card(base, queries.card_of(membership.organization.namespace)) for membership in memberships]
    return JSONResponse(
        {
            "_id": user.namespace.object_id,
            "type": "user",
            "user": user.name,
            "fullname": user.fullname,
            "avatarUrl": base + avatar_url(user.namespace),
            "details": user.namespace.details,
            "isPro": False,
            "isFollowing": queries.is_following(db, actor, user.namespace),
            "createdAt": to_json(user.namespace.created_at),
            "numFollowing": queries.count_following(db, user.namespace),
            "numLikes": count_likes(db, actor, user.id),
            "numDiscussions": count_opened(db, actor, user.id),
            "numPapers": 0,
            "numUpvotes": 0,
            **_counts(db, actor, user.namespace),
            "orgs": orgs,
        }
    )


@router.get("/api/organizations/{name:seg}/overview")
def get_organization_overview(
    request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, name: str
) -> JSONResponse:
    org = access_organization(db, actor, name)
    return JSONResponse(
        {
            "_id": org.namespace.object_id,
            "type": "org",
            "name": org.name,
            "fullname": org.fullname,
            "avatarUrl": base_url(request, rt.settings) + avatar_url(org.namespace),
            "details": org.namespace.details,
            "isVerified": False,
            "isEnterprise": False,
            "isFollowing": queries.is_following(db, actor, org.namespace),
            "createdAt": to_json(org.namespace.created_at),
            "numUsers": queries.count_members(db, org.id),
            "numPapers": 0,
            **_counts(db, actor, org.namespace),
        }
    )


@router.get("/api/users/{name:seg}/followers")
def list_user_followers(asked: Asked, db: ReadDb, actor: ActorDep, name: str) -> JSONResponse:
    user = access_user(db, actor, name)
    return asked.answer(queries.list_followers(db, user.namespace, limit=asked.limit, cursor=asked.cursor))


@router.get("/api/users/{name:seg}/following")
def list_user_following(asked: Asked, db: ReadDb, actor: ActorDep, name: str) -> JSONResponse:
    user = access_user(db, actor, name)
    return asked.answer(queries.list_following(db, user, limit=asked.limit, cursor=asked.cursor))


@router.get("/api/organizations/{name:seg}/followers")
def list_organization_followers(asked: Asked, db: ReadDb, actor: ActorDep, name: str) -> JSONResponse:
    org = access_organization(db, actor, name)
    return asked.answer(queries.list_followers(db, org.namespace, limit=asked.limit, cursor=asked.cursor))


@router.get("/api/organizations/{name:seg}/members")
def list_organization_members(asked: Asked, db: ReadDb, actor: ActorDep, name: str) -> JSONResponse:
    org = access_organization(db, actor, name)
    return asked.answer(queries.list_members(db, org.id, limit=asked.limit, cursor=asked.cursor))


@router.post("/api/users/{name:seg}/follow")
def post_user_follow(db: WriteDb, actor: ActorDep, name: str) -> JSONResponse:
    actor.check_account_write()
    service.follow(db, actor, access_user(db, actor, name).namespace)
    return JSONResponse({"isFollowing": True})


@router.delete("/api/users/{name:seg}/follow")
def delete_user_follow(db: WriteDb, actor: ActorDep, name: str) -> JSONResponse:
    actor.check_account_write()
    service.unfollow(db, actor, access_user(db, actor, name).namespace)
    return JSONResponse({"isFollowing": False})


@router.post("/api/organizations/{name:seg}/follow")
def post_organization_follow(db: WriteDb, actor: ActorDep, name: str) -> JSONResponse:
    actor.check_account_write()
    service.follow(db, actor, access_organization(db, actor, name).namespace)
    return JSONResponse({"isFollowing": True})


@router.delete("/api/organizations/{name:seg}/follow")
def delete_organization_follow(db: WriteDb, actor: ActorDep, name: str) -> JSONResponse:
    actor.check_account_write()
    service.unfollow(db, actor, access_organization(db, actor, name).namespace)
    return JSONResponse({"isFollowing": False})


def _card(base: str, card: NamespaceCard) -> dict[str, Any]:
    key = "user" if card.kind == "user" else "name"
    entry: dict[str, Any] = {"type": card.kind, key: card.name, "fullname": card.fullname}
    entry["avatarUrl"] = base + card.avatar_url
    if card.kind == "user":
        entry["isPro"] = False
    if card.role is not None:
        entry["role"] = card.role
    return entry
