"""Our own calls about endpoints: make, see, change, pause and delete them."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import Depends, Request
from starlette.responses import Response

from llmos.core.clock import to_json
from llmos.core.errors import BadRequest
from llmos.core.names import split_repo_name
from llmos.core.repo_types import RepoType
from llmos.features.auth.edge import ActorDep
from llmos.features.endpoints import service
from llmos.features.endpoints.models import Endpoint, Replica
from llmos.features.endpoints.policy import access_endpoint, can_manage, check_manage
from llmos.features.endpoints.queries import list_endpoints, list_usage, live_replicas, state_of
from llmos.features.endpoints.usage import quantile_ms
from llmos.features.jobs.waking import wake_runners
from llmos.features.repos.policy import access_repo
from llmos.infra.i18n import lazy
from llmos.infra.web.bodies import read_body
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router

router = Router(tags=["endpoints"])
MAX_BODY_BYTES = 64 * 1024


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


async def _body(request: Request, actor: ActorDep) -> dict[str, Any]:
    actor.require_user()
    data = await read_body(request.receive, limit_bytes=MAX_BODY_BYTES)
    try:
        value = orjson.loads(data or b"{}")
    except orjson.JSONDecodeError as error:
        raise BadRequest(lazy("The body is no JSON.")) from error
    if not isinstance(value, dict):
        raise BadRequest(lazy("The body must be a JSON object."))
    return value


Body = Annotated[dict[str, Any], Depends(_body)]


def endpoint_json(actor: Any, endpoint: Endpoint, replicas: list[Replica]) -> dict[str, Any]:
    """An endpoint as the API shows it; settings that name people only to those who may change them."""
    found: dict[str, Any] = {
        "id": endpoint.object_id,
        "name": endpoint.name,
        "model": endpoint.repo.repo_name if endpoint.repo is not None else endpoint.upstream_model,
        "owner": endpoint.namespace.name,
        "revision": endpoint.revision,
        "commit": endpoint.oid,
        "pinned": endpoint.is_pinned,
        "task": endpoint.task,
        "engine": endpoint.spec.get("engine", ""),
        "state": state_of(endpoint, replicas),
        "problem": endpoint.problem,
        "access": endpoint.access,
        "minReplicas": endpoint.min_replicas,
        "maxReplicas": endpoint.max_replicas,
        "idleSeconds": endpoint.idle_s,
        "ratePerMinute": endpoint.rate_per_minute,
        "tokensPerDay": endpoint.tokens_per_day,
        "memoryBytes": endpoint.memory_bytes,
        "gpus": endpoint.gpus,
        "base": endpoint.spec.get("base", ""),
        "createdAt": to_json(endpoint.created_at),
        "lastCalledAt": to_json(endpoint.last_called_at) if endpoint.last_called_at else None,
        "replicas": [_replica_json(one) for one in replicas],
    }
    if can_manage(actor, endpoint):
        found |= {"allowed": endpoint.allowed, "upstreamUrl": endpoint.upstream_url}
    return found


def _replica_json(replica: Replica) -> dict[str, Any]:
    return {
        "state": replica.state,
        "stage": replica.stage,
        "commit": replica.oid,
        "runner": replica.runner_name,
        "connected": bool(replica.holder),
        "job": replica.job.object_id if replica.job is not None else None,
        "readyAt": to_json(replica.ready_at) if replica.ready_at else None,
        "facts": replica.facts,
    }


@router.get("/api/endpoints")
def get_endpoints(db: ReadDb, actor: ActorDep) -> Response:
    """The endpoints you may call, those of yours first."""
    found = list_endpoints(db, actor)
    replicas = live_replicas(db, [one.id for one in found])
    return _json([endpoint_json(actor, one, replicas.get(one.id, [])) for one in found])


@router.post("/api/endpoints")
def post_endpoint(rt: RuntimeDep, db: WriteDb, actor: ActorDep, body: Body) -> Response:
    """Serve a model: `model`, and if wanted `name`, `owner`, `revision`, `pin`, `task`, `engine`, `dtype`,
    `file`, `max_context_tokens`, `min_replicas`, `max_replicas`, `idle_s`, `access` (public, members,
    named), `allowed`, `rate_per_minute`, `tokens_per_day`, `gpus`, `memory_bytes`. Or, for
    administrators, pass calls on: `name`, `upstream_url`, `upstream_model`, `upstream_key`."""
    if body.get("upstream_url"):
        endpoint = service.create_upstream(
            db,
            rt,
            actor,
            name=str(body.get("name") or ""),
            url=str(body["upstream_url"]),
            model=str(body.get("upstream_model") or ""),
            key=str(body.get("upstream_key") or ""),
            body=body,
        )
    else:
        model = body.get("model")
        if not isinstance(model, str):
            raise BadRequest(
                lazy("model is missing: name one, such as ada/tiny-llm."), data={"field": "model"}
            )
        repo = access_repo(db, actor, RepoType.MODEL, *split_repo_name(model, field="model"))
        endpoint = service.create_endpoint(
            db,
            rt,
            actor,
            repo,
            name=str(body.get("name") or ""),
            owner=str(body.get("owner") or ""),
            body=body,
        )
    answer = _shown(db, actor, endpoint)
    wake_runners("engine")
    return _json(answer, 201)


def _shown(db: Any, actor: Any, endpoint: Endpoint) -> dict[str, Any]:
    return endpoint_json(actor, endpoint, live_replicas(db, [endpoint.id]).get(endpoint.id, []))


@router.get("/api/endpoints/{endpoint:seg}")
def get_endpoint(db: ReadDb, actor: ActorDep, endpoint: str) -> Response:
    """One endpoint by its name or id, with its replicas."""
    return _json(_shown(db, actor, access_endpoint(db, actor, endpoint)))


@router.patch("/api/endpoints/{endpoint:seg}")
def patch_endpoint(rt: RuntimeDep, db: WriteDb, actor: ActorDep, endpoint: str, body: Body) -> Response:
    """Change the named fields (as for making one). A new revision takes over once it is ready."""
    found = access_endpoint(db, actor, endpoint)
    service.change_endpoint(db, rt, actor, found, body)
    return _json(_shown(db, actor, found))


@router.delete("/api/endpoints/{endpoint:seg}")
def delete_endpoint(db: WriteDb, actor: ActorDep, endpoint: str) -> Response:
    """End its engines and forget it; the model stays."""
    service.delete_endpoint(db, actor, access_endpoint(db, actor, endpoint))
    return _json({"deleted": endpoint})


@router.post("/api/endpoints/{endpoint:seg}/pause")
def post_pause(db: WriteDb, actor: ActorDep, endpoint: str) -> Response:
    """Answer no more calls until it is resumed."""
    found = access_endpoint(db, actor, endpoint)
    service.pause_endpoint(db, actor, found)
    return _json(_shown(db, actor, found))


@router.post("/api/endpoints/{endpoint:seg}/resume")
def post_resume(rt: RuntimeDep, db: WriteDb, actor: ActorDep, endpoint: str) -> Response:
    """Answer calls again, and start."""
    found = access_endpoint(db, actor, endpoint)
    service.resume_endpoint(db, rt, actor, found)
    wake_runners("engine")
    return _json(_shown(db, actor, found))


@router.get("/api/endpoints/{endpoint:seg}/usage")
def get_usage(db: ReadDb, actor: ActorDep, endpoint: str) -> Response:
    """What was asked of it in each hour of the last week, for members of its owner."""
    found = access_endpoint(db, actor, endpoint)
    check_manage(actor, found)
    return _json(
        [
            {
                "hour": to_json(row.hour),
                "calls": row.calls,
                "errors": row.errors,
                "promptTokens": row.prompt_tokens,
                "cachedTokens": row.cached_tokens,
                "completionTokens": row.completion_tokens,
                "latencyP50Ms": quantile_ms(row.latency, 0.5),
                "latencyP95Ms": quantile_ms(row.latency, 0.95),
                "firstTokenP50Ms": quantile_ms(row.first, 0.5),
                "firstTokenP95Ms": quantile_ms(row.first, 0.95),
            }
            for row in list_usage(db, found)
        ]
    )
