"""Hub protocol: access requests of gated repositories, and checks of one's own access."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import orjson
from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.core.repo_types import RepoType
from llmos.features.auth.edge import ActorDep, resolve_actor
from llmos.features.repos.gating import (
    ask_access,
    grant_access,
    handle_access_request,
    list_access_requests,
)
from llmos.features.repos.models import AccessRequest
from llmos.features.repos.naming import repo_path
from llmos.features.repos.policy import access_repo, check_content, check_write
from llmos.infra.runtime import Runtime
from llmos.infra.web.bodies import read_body
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb, run_write
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.hf.answers import (
    JsonBody,
    answer,
    drop_none,
    optional_text,
    page_answer,
    query_int,
    text_of,
)
from llmos.protocols.hf.target import REPO_API, TargetDep

router = Router(tags=["access"])

MAX_FORM_BYTES = 256 * 1024


def _request_json(item: AccessRequest) -> dict[str, Any]:
    """The mail address is only given of people who asked themselves, and so agreed to share it."""
    user = {
        "_id": item.user.namespace.object_id,
        "user": item.user.name,
        "fullname": item.user.fullname,
        "email": None if item.granted_by_owner else item.user.email,
        "type": "user",
    }
    return drop_none(
        {
            "requestId": item.object_id,
            "status": item.status,
            "timestamp": clock.to_json(item.created_at),
            "user": drop_none(user),
            "fields": item.fields or None,
            "rejectionReason": item.rejection_reason,
            "grantedBy": "owner" if item.granted_by_owner else None,
        }
    )


@router.get(REPO_API + "/user-access-request/{status:seg}")
def get_requests(
    *, rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep, request: Request, status: str
) -> Response:
    page = list_access_requests(
        db,
        actor,
        target.access(db, actor),
        status,
        cursor=request.query_params.get("cursor"),
        limit=query_int(request, "limit"),
    )
    return page_answer(request, rt.settings, page.map(_request_json))


@router.post(REPO_API + "/user-access-request/handle")
def post_handle(actor: ActorDep, db: WriteDb, target: TargetDep, body: JsonBody) -> Response:
    item = handle_access_request(
        db,
        actor,
        target.access(db, actor),
        status=text_of(body, "status"),
        user_name=optional_text(body, "user"),
        request_id=optional_text(body, "requestId"),
        rejection_reason=optional_text(body, "rejectionReason", limit=1000),
    )
    return answer(_request_json(item))


@router.post(REPO_API + "/user-access-request/grant")
def post_grant(actor: ActorDep, db: WriteDb, target: TargetDep, body: JsonBody) -> Response:
    repo = target.access(db, actor)
    return answer(_request_json(grant_access(db, actor, repo, text_of(body, "user"))))


@router.get(REPO_API + "/auth-check")
def get_auth_check(actor: ActorDep, db: ReadDb, target: TargetDep) -> Response:
    check_content(db, actor, target.access(db, actor))
    return answer({})


@router.get(REPO_API + "/auth-check/write")
def get_auth_check_write(actor: ActorDep, db: ReadDb, target: TargetDep) -> Response:
    check_write(actor, target.access(db, actor))
    return answer({})


async def _ask(request: Request, rt: Runtime, repo_type: RepoType, namespace: str, name: str) -> Response:
    """`POST /{prefix}{id}/ask-access`: the fields of the form as JSON or as a web form."""
    actor = await resolve_actor(rt, request)
    actor.require_user()
    data = await read_body(request.receive, limit_bytes=MAX_FORM_BYTES, what="The form")
    is_json = "json" in request.headers.get("content-type", "")
    answers = _parse_answers(data, is_json)

    def work(db: Session) -> tuple[str, dict[str, Any]]:
        repo = access_repo(db, actor, repo_type, namespace, name)
        return repo_path(repo_type, repo.repo_name), _request_json(ask_access(db, actor, repo, answers))

    path, value = await run_write(rt, work)
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(path, 303)
    return answer(value)


def _parse_answers(data: bytes, is_json: bool) -> dict[str, Any]:
    if not data.strip():
        return {}
    if not is_json:
        pairs = parse_qsl(data.decode("utf-8", "replace"), keep_blank_values=True)
        # Tokens against forged requests travel in fields that begin with an underscore.
        return {key: value for key, value in pairs if not key.startswith("_")}
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The request body must be JSON: {error}.") from error
    if not isinstance(value, dict):
        raise BadRequest("The request body must be a JSON object of field and answer.")
    fields = value.get("fields", value)
    if not isinstance(fields, dict):
        raise BadRequest("fields must be an object of field and answer.")
    return fields


@router.post("/{plural:plural}/{namespace:seg}/{name:seg}/ask-access")
async def post_ask_typed(
    rt: RuntimeDep, request: Request, plural: str, namespace: str, name: str
) -> Response:
    return await _ask(request, rt, RepoType.from_plural(plural), namespace, name)


@router.post("/{namespace:seg}/{name:seg}/ask-access")
async def post_ask_model(rt: RuntimeDep, request: Request, namespace: str, name: str) -> Response:
    return await _ask(request, rt, RepoType.MODEL, namespace, name)
