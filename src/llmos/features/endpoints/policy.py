"""Who may call, see and change endpoints."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import Forbidden, NotFound
from llmos.core.names import name_key
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace, Role
from llmos.features.endpoints.adapters import can_call_base, can_read_content
from llmos.features.endpoints.models import Endpoint
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import refuse, role_in
from llmos.infra.i18n import lazy

ACCESSES = ("public", "members", "named")


def can_use_inference(actor: Actor, namespace: Namespace, repo: Repo | None) -> bool:
    """Whether the credential itself is for calling models."""
    key = repo.key if repo is not None else None
    return any(actor.allows(verb, namespace.name, key) for verb in ("inference", "repo.read"))


def can_call(db: Session, actor: Actor, endpoint: Endpoint) -> bool:
    """`public`: whoever may read the model; `members`: of its owner; `named`: whom the list names, too."""
    if actor.is_suspended or (
        not actor.is_anonymous and not can_use_inference(actor, endpoint.namespace, endpoint.repo)
    ):
        return False
    # Nobody chose who may call what was started on demand.
    if endpoint.name is None and not can_call_base(db, actor, endpoint):
        return False
    if role_in(actor, endpoint.namespace) is not None:
        return True
    if endpoint.access == "named":
        return _is_named(db, actor, endpoint)
    return endpoint.access == "public" and (
        endpoint.repo is None
        or (can_read_content(db, actor, endpoint.repo) and can_call_base(db, actor, endpoint))
    )


def _is_named(db: Session, actor: Actor, endpoint: Endpoint) -> bool:
    if actor.is_anonymous:
        return False
    allowed = {name_key(str(name)) for name in endpoint.allowed}
    if actor.token_name and f"{name_key(actor.name)}:{name_key(actor.token_name)}" in allowed:
        return True
    if name_key(actor.name) in allowed:
        return True
    if not actor.roles:
        return False
    mine = select(Namespace.name_key).where(Namespace.id.in_(actor.roles))
    return bool(allowed & set(db.scalars(mine)))


def can_manage(actor: Actor, endpoint: Endpoint) -> bool:
    """May change, pause and delete: members of the owner with the write role; of upstream ones, admins."""
    if endpoint.is_upstream and not actor.is_admin:
        return False
    return can_deploy(actor, endpoint.namespace)


def can_deploy(actor: Actor, namespace: Namespace) -> bool:
    """May make endpoints there: as for jobs."""
    role = role_in(actor, namespace)
    if role is None or role.rank < Role.WRITE.rank:
        return False
    return actor.allows("job.write", namespace.name)


def check_deploy(actor: Actor, namespace: Namespace) -> None:
    if not can_deploy(actor, namespace):
        refuse(
            actor,
            lazy(
                "You may not serve models for %(name)s: ask for the write role there, and use a token that "
                "may start jobs.",
                name=namespace.name,
            ),
        )


def access_endpoint(db: Session, actor: Actor, name: str) -> Endpoint:
    """An endpoint by its own name or id, if the actor may call it. Raises NotFound."""
    statement = select(Endpoint).where((Endpoint.name_key == name_key(name)) | (Endpoint.object_id == name))
    endpoint = db.scalars(statement).unique().first()
    if endpoint is None or not can_call(db, actor, endpoint):
        raise NotFound(lazy("There is no endpoint %(name)s that you can see.", name=repr(name[:100])))
    return endpoint


def check_manage(actor: Actor, endpoint: Endpoint) -> None:
    """Raises Forbidden."""
    if not can_manage(actor, endpoint):
        raise Forbidden(lazy("Only members of %(name)s may change this.", name=endpoint.namespace.name))
