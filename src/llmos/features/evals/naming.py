"""Data sets by the names that files use for them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from llmos.core.errors import RepoNotFound
from llmos.core.repo_types import RepoType
from llmos.features.accounts.models import Namespace
from llmos.features.repos.models import Repo, RepoAlias
from llmos.features.repos.policy import get_repo
from llmos.infra.i18n import lazy


def find_datasets(db: Session, names: Iterable[str]) -> dict[str, int]:
    """Ids of data sets by their present or an earlier name, in lower case."""
    found: dict[str, int] = {}
    for name in {name.lower() for name in names}:
        namespace, _, short = name.partition("/")
        repo_id = db.scalar(_dataset_id(namespace, short)) if short else None
        if repo_id is None:
            alias = db.get(RepoAlias, (RepoType.DATASET.value, name[:200]))
            repo_id = alias.repo_id if alias is not None else None
        if repo_id is not None:
            found[name] = repo_id
    return found


def _dataset_id(namespace: str, name: str) -> Select[int]:
    statement = select(Repo.id).join(Namespace, Namespace.id == Repo.namespace_id)
    return statement.where(Repo.type == "dataset", Repo.name_key == name, Namespace.name_key == namespace)


def access_named(db: Session, repo_type: RepoType, name: str) -> Repo:
    """The repository with this name now, or once; says nothing about access. Raises RepoNotFound."""
    namespace, _, short = name.partition("/")
    repo = get_repo(db, repo_type, namespace, short)
    if repo is None:
        alias = db.get(RepoAlias, (repo_type.value, name.lower()[:200]))
        repo = db.get(Repo, alias.repo_id) if alias is not None else None
    if repo is None:
        raise RepoNotFound(lazy("Repository Not Found: there is no %(name)s.", name=name[:200]))
    return repo
