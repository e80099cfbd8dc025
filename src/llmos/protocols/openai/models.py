"""`/v1/models`: what the caller may ask for; beside OpenAI's fields, what the model is for."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from llmos.core.errors import LlmosError
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.endpoints.calls import ServedModel, describe_servable, list_served
from llmos.features.endpoints.errors import ModelNotFound
from llmos.features.repos.models import Repo
from llmos.features.repos.places import open_git
from llmos.features.repos.policy import access_repo
from llmos.infra.git.revisions import resolve
from llmos.infra.runtime import Runtime


def list_models(db: Session, rt: Runtime, actor: Actor) -> list[dict[str, Any]]:
    """Everything deployed that the actor may call, ready ones first; each name once."""
    found: dict[str, dict[str, Any]] = {}
    for model in list_served(db, rt, actor):
        found.setdefault(model.name, _served_json(model))
    return list(found.values())


def access_model(db: Session, rt: Runtime, actor: Actor, name: str) -> dict[str, Any]:
    """One of those, or a model that would start with the first call. ModelNotFound."""
    for model in list_served(db, rt, actor):
        if name in (model.name, model.repo_name):
            return _served_json(model) | {"id": name}
    repo_name, at, revision = name.partition("@")
    namespace, _, rest = repo_name.partition("/")
    try:
        repo = access_repo(db, actor, RepoType.MODEL, namespace, rest)
        commit = resolve(open_git(rt, repo), revision) if at else repo.head_oid
    except LlmosError as error:
        raise ModelNotFound(f"There is no model {name[:200]!r} that you can see.") from error
    return _repo_json(repo, name) | _outlook(db, rt, repo, commit)


def _served_json(model: ServedModel) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": int(model.created_at.timestamp()),
        "owned_by": model.owner,
        "root": model.repo_name,
        "revision": model.revision,
        "task": model.task,
        "state": model.state,
        "max_model_len": model.facts.get("context_tokens") or None,
    }


def _repo_json(repo: Repo, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": int(repo.created_at.timestamp()),
        "owned_by": repo.namespace.name,
        "root": repo.repo_name,
    }


def _outlook(db: Session, rt: Runtime, repo: Repo, commit: str | None) -> dict[str, Any]:
    servable = describe_servable(db, rt, repo, commit)
    state = "asleep" if servable.reason_not is None else "not_servable"
    return {"revision": commit, "task": servable.task, "state": state, "reason_not": servable.reason_not}
