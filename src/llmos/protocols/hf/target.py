"""The repository a Hub route speaks of: `/api/{models|datasets|…}/{namespace}/{name}/…`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session
from starlette.convertors import Convertor, register_url_convertor

from llmos.core.repo_types import PLURALS, RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import access_repo
from llmos.infra.web import routing as _routing  # noqa: F401  # registers the convertors of paths


class _Plural(Convertor[str]):
    regex = "|".join(PLURALS)

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("plural", _Plural())

REPO_API = "/api/{plural:plural}/{namespace:seg}/{name:seg}"


@dataclass(frozen=True, slots=True)
class RepoTarget:
    """What the path names; nothing is looked up yet."""

    repo_type: RepoType
    namespace: str
    name: str

    def access(self, db: Session, actor: Actor) -> Repo:
        """See `policy.access_repo`."""
        return access_repo(db, actor, self.repo_type, self.namespace, self.name)

    @property
    def names(self) -> tuple[RepoType, str, str]:
        return self.repo_type, self.namespace, self.name


async def _target(request: Request) -> RepoTarget:
    params = request.path_params
    return RepoTarget(RepoType.from_plural(params["plural"]), params["namespace"], params["name"])


TargetDep = Annotated[RepoTarget, Depends(_target)]


def path_quote(repo_name: str, repo_type: RepoType) -> str:
    """`datasets/ada/words`: the path of a repository's pages, below the base URL."""
    return f"{repo_type.url_prefix}{repo_name}"
