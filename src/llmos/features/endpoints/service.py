"""Make, change, pause and delete endpoints."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, Forbidden
from llmos.core.names import name_key
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.accounts.policy import access_namespace
from llmos.features.endpoints.errors import NotServable
from llmos.features.endpoints.models import Endpoint, Replica
from llmos.features.endpoints.policy import check_deploy, check_manage
from llmos.features.endpoints.replicas import (
    drain,
    end_replica,
    ensure_replica,
    list_live,
    lock_endpoint,
)
from llmos.features.endpoints.resolving import forget_routes
from llmos.features.endpoints.servable import describe_servable
from llmos.features.endpoints.upstream import SEAL
from llmos.features.endpoints.wishes import Wish, check_endpoint_name, parse_wish
from llmos.features.repos.models import Repo
from llmos.features.repos.places import open_git
from llmos.features.repos.policy import check_content
from llmos.infra.git.revisions import resolve
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.security.sealing import seal
from llmos.wire.serving import TASKS


def create_endpoint(
    db: Session,
    rt: Runtime,
    actor: Actor,
    repo: Repo,
    *,
    name: str = "",
    owner: str = "",
    body: dict[str, Any],
) -> Endpoint:
    """Serve a model under a name of its own, by default the model's, and start it.

    `body` holds the fields of `wishes` and `revision`, `pin`, `task`. Raises Forbidden, NotServable,
    Conflict for a name that is taken, BadRequest with the field, NoRunner.
    """
    namespace = _owner(db, actor, owner or repo.namespace.name)
    check_content(db, actor, repo)
    wish = parse_wish(body)
    chosen = check_endpoint_name(name) if name else _free_name(db, repo.name)
    _check_free(db, chosen)
    revision = str(body.get("revision") or "main")
    oid = resolve(open_git(rt, repo), revision)
    endpoint = Endpoint(
        name=chosen,
        name_key=name_key(chosen),
        namespace_id=namespace.id,
        creator_id=actor.require_user(),
        repo_id=repo.id,
        revision=oid if body.get("pin") else revision,
        is_pinned=bool(body.get("pin")) or revision == oid,
        oid=oid,
        spec={},
    )
    _apply(endpoint, wish)
    _choose(db, rt, actor, endpoint, repo, body.get("task"))
    db.add(endpoint)
    db.flush()
    audit.record(db, actor, "endpoint.create", chosen, repo=repo.repo_name, revision=oid)
    ensure_replica(db, rt, endpoint)
    forget_routes(db)
    return endpoint


def _owner(db: Session, actor: Actor, name: str) -> Namespace:
    actor.check_not_suspended()
    namespace = access_namespace(db, actor, name)
    check_deploy(actor, namespace)
    return namespace


def _free_name(db: Session, wanted: str) -> str:
    """The name, or that with the first number that is free."""
    like = select(Endpoint.name_key).where(Endpoint.name_key.startswith(name_key(wanted), autoescape=True))
    taken = set(db.scalars(like))
    if name_key(wanted) not in taken:
        return wanted
    return next(f"{wanted}-{n}" for n in range(2, len(taken) + 3) if name_key(f"{wanted}-{n}") not in taken)


def _check_free(db: Session, name: str) -> None:
    if db.scalar(select(Endpoint.id).where(Endpoint.name_key == name_key(name))) is not None:
        raise Conflict(
            lazy("There is an endpoint called %(name)s already: choose another name.", name=name),
            data={"field": "name"},
        )


def _apply(endpoint: Endpoint, wish: Wish) -> None:
    for column, value in wish.columns.items():
        setattr(endpoint, column, value)
    endpoint.spec = {**endpoint.spec, **wish.spec}
    if (endpoint.min_replicas or 0) > (endpoint.max_replicas or 1):
        endpoint.max_replicas = endpoint.min_replicas


def _choose(db: Session, rt: Runtime, actor: Actor, endpoint: Endpoint, repo: Repo, task: Any) -> None:
    servable = describe_servable(db, rt, repo, endpoint.oid, actor=actor)
    if servable.reason_not is not None:
        raise NotServable(
            lazy("%(repo)s cannot be served: %(reason)s", repo=repo.repo_name, reason=servable.reason_not)
        )
    if task and task not in TASKS:
        raise BadRequest(
            lazy("%(field)s must be one of: %(choices)s.", field="task", choices=", ".join(TASKS)),
            data={"field": "task"},
        )
    if servable.base and endpoint.engine not in ("", servable.engine):
        raise NotServable(
            lazy(
                "Adapters are served by %(engine)s only: leave the engine out, or merge the adapter into its "
                "base.",
                engine=servable.engine,
            ),
            data={"field": "engine"},
        )
    endpoint.task = str(task or servable.task)
    chosen = servable.spec(endpoint.task) | ({"engine": endpoint.engine} if endpoint.engine else {})
    endpoint.spec = chosen | endpoint.spec
    endpoint.memory_bytes = endpoint.memory_bytes or servable.memory_bytes


def create_upstream(
    db: Session, rt: Runtime, actor: Actor, *, name: str, url: str, model: str, key: str, body: dict[str, Any]
) -> Endpoint:
    """An endpoint that passes calls on to another OpenAI-compatible server. Administrators only.

    Raises Forbidden, Conflict, BadRequest with the field.
    """
    if not actor.is_admin:
        raise Forbidden(lazy("Only an administrator of this site may do this."))
    if not url.startswith(("http://", "https://")) or len(url) > 500:
        raise BadRequest(
            lazy("upstream_url must be an address such as https://api.example.org/v1."),
            data={"field": "upstream_url"},
        )
    wish = parse_wish(body)
    chosen = check_endpoint_name(name)
    _check_free(db, chosen)
    creator = actor.require_user()
    endpoint = Endpoint(
        name=chosen,
        name_key=name_key(chosen),
        namespace_id=creator,
        creator_id=creator,
        spec={"engine": "upstream"},
    )
    endpoint.upstream_url, endpoint.upstream_model = url.rstrip("/"), model[:200]
    endpoint.sealed_key = seal(rt.signer, SEAL, key.encode()) if key else None
    _apply(endpoint, wish)
    db.add(endpoint)
    db.flush()
    audit.record(db, actor, "endpoint.create", chosen, upstream=endpoint.upstream_url)
    forget_routes(db)
    return endpoint


def change_endpoint(db: Session, rt: Runtime, actor: Actor, endpoint: Endpoint, body: dict[str, Any]) -> None:
    """Change what `body` names; another revision is brought up before the present one goes.

    Raises Forbidden, BadRequest with the field, RevisionNotFound.
    """
    check_manage(actor, endpoint)
    wish = parse_wish(body)
    _apply(endpoint, wish)
    if endpoint.repo is not None and ("revision" in body or "pin" in body):
        revision = str(body.get("revision") or endpoint.revision)
        endpoint.oid = resolve(open_git(rt, endpoint.repo), revision)
        endpoint.is_pinned = bool(body.get("pin", endpoint.is_pinned))
        endpoint.revision = endpoint.oid if endpoint.is_pinned else revision
        endpoint.failed_count = 0
    audit.record(db, actor, "endpoint.change", endpoint.shown_name, **wish.columns)
    forget_routes(db)


def pause_endpoint(db: Session, actor: Actor, endpoint: Endpoint) -> None:
    """Answer no more calls; engines end once those under way are over."""
    check_manage(actor, endpoint)
    endpoint.state = "paused"
    for replica in list_live(db, endpoint.id):
        drain(db, replica, lazy("The endpoint was paused."))
    audit.record(db, actor, "endpoint.pause", endpoint.shown_name)
    forget_routes(db)


def resume_endpoint(db: Session, rt: Runtime, actor: Actor, endpoint: Endpoint) -> None:
    """Answer again, and start. Raises Forbidden, NoRunner, NotServable."""
    check_manage(actor, endpoint)
    locked = lock_endpoint(db, endpoint.id)
    assert locked is not None
    locked.state, locked.failed_count, locked.problem = "active", 0, ""
    locked.last_called_at = clock.now()
    if not locked.is_upstream:
        ensure_replica(db, rt, locked)
    audit.record(db, actor, "endpoint.resume", endpoint.shown_name)
    forget_routes(db)


def delete_endpoint(db: Session, actor: Actor, endpoint: Endpoint) -> None:
    """The engines end at once; what was used is forgotten."""
    check_manage(actor, endpoint)
    for replica in db.scalars(
        select(Replica).where(Replica.endpoint_id == endpoint.id, Replica.state != "ended")
    ):
        end_replica(db, replica, lazy("The endpoint was deleted."))
    audit.record(db, actor, "endpoint.delete", endpoint.shown_name)
    db.delete(endpoint)
    db.flush()
    forget_routes(db)
