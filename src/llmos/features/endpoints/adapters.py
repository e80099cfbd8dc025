"""Adapters (LoRA): small changes to another model, which is read beside them and by its own rights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, LlmosError, RevisionNotFound
from llmos.core.names import split_repo_name
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.endpoints.models import Endpoint
from llmos.features.repos.models import Repo
from llmos.features.repos.places import open_git
from llmos.features.repos.policy import can_read, check_content, get_repo
from llmos.infra.git.revisions import resolve
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class Base:
    """The model an adapter changes, at a commit."""

    repo: Repo
    oid: str

    @property
    def name(self) -> str:
        """As `wire.serving.EngineSpec.base`."""
        return f"{self.repo.repo_name}@{self.oid}"


def why_not(config: Mapping[str, Any], has_weights: bool) -> str | None:
    """Why an adapter cannot be served, as far as its own files tell."""
    kind = str(config.get("peft_type") or "")
    if kind != "LORA":
        return lazy("This is an adapter of the kind %(kind)s; only LoRA is served.", kind=repr(kind[:40]))
    if not has_weights:
        return lazy("The adapter has no %(file)s.", file=WEIGHTS)
    if not base_name(config):
        return lazy(
            "adapter_config.json does not name its base as namespace/name (base_model_name_or_path), so it "
            "is not known what the adapter changes."
        )
    return None


def base_name(config: Mapping[str, Any]) -> str:
    """`namespace/name@revision` as the adapter names its base; empty where that is no such name."""
    name, revision = str(config.get("base_model_name_or_path") or ""), config.get("revision")
    try:
        split_repo_name(name)
    except BadRequest:
        return ""
    return f"{name}@{revision if isinstance(revision, str) and revision else 'main'}"


def find_base(db: Session, rt: Runtime, actor: Actor | None, wanted: str) -> Base | str:
    """The base called `namespace/name@revision`, or why there is none. Without an actor, whoever's it is."""
    name, _, revision = wanted.partition("@")
    repo = get_repo(db, RepoType.MODEL, *split_repo_name(name))
    if repo is None or (actor is not None and not can_read_content(db, actor, repo)):
        return lazy(
            "This adapter changes %(base)s, which is not on this site, or not for you to read. Bring it "
            "here under that name, or merge the adapter into it.",
            base=name,
        )
    try:
        return Base(repo, resolve(open_git(rt, repo), revision))
    except RevisionNotFound:
        return lazy(
            "This adapter changes %(base)s, which has no revision %(revision)s here.",
            base=name,
            revision=repr(revision[:100]),
        )


def can_read_content(db: Session, actor: Actor, repo: Repo) -> bool:
    """Whether the actor may read the files of a base."""
    if not can_read(actor, repo):
        return False
    try:
        check_content(db, actor, repo)
    except LlmosError:
        return False
    return True


def can_call_base(db: Session, actor: Actor, endpoint: Endpoint) -> bool:
    """Whether the actor may read what the adapter of an endpoint changes; True where it is no adapter."""
    name = str(endpoint.spec.get("base") or "").partition("@")[0]
    if not name:
        return True
    repo = get_repo(db, RepoType.MODEL, *split_repo_name(name))
    return repo is not None and can_read_content(db, actor, repo)
