"""One endpoint for the four repository types: addresses, and which repository a request names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session
from starlette.requests import Request

from llmos.core.errors import RepoNotFound
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.repos.models import Repo
from llmos.features.repos.naming import repo_path
from llmos.features.repos.policy import access_repo
from llmos.infra.i18n import lazy
from llmos.infra.web.lazy_routes import Router

F = TypeVar("F", bound=Callable[..., Any])

# Models last: their addresses have no prefix and would take those of the others.
TYPE_ORDER = (RepoType.DATASET, RepoType.SPACE, RepoType.KERNEL, RepoType.MODEL)
_BY_SEGMENT = {kind.plural: kind for kind in TYPE_ORDER if kind is not RepoType.MODEL}


class RepoRoutes:
    """Collects endpoints by what follows `/{namespace}/{name}` and adds them for every type."""

    def __init__(self) -> None:
        self._entries: list[tuple[str, str, Callable[..., Any]]] = []

    def get(self, suffix: str) -> Callable[[F], F]:
        return self._add("GET", suffix)

    def post(self, suffix: str) -> Callable[[F], F]:
        return self._add("POST", suffix)

    def _add(self, method: str, suffix: str) -> Callable[[F], F]:
        def register(endpoint: F) -> F:
            self._entries.append((method, suffix, endpoint))
            return endpoint

        return register

    def add_to(self, router: Router, kind: RepoType) -> None:
        """Register every endpoint for one type."""
        prefix = f"/{kind.url_prefix}{{ns:seg}}/{{name:seg}}"
        for method, suffix, endpoint in self._entries:
            methods = ["GET", "HEAD"] if method == "GET" else [method]
            add_page(router, prefix + suffix, endpoint, methods)


def add_page(router: Router, path: str, endpoint: Callable[..., Any], methods: list[str]) -> None:
    """Register a page: no part of the described API."""
    router.add_api_route(
        path,
        endpoint,
        methods=methods,
        response_class=HTMLResponse,
        response_model=None,
        include_in_schema=False,
    )


def type_of(request: Request) -> RepoType:
    """The type a repository address names by its first segment."""
    path: str = request.scope["path"]
    return _BY_SEGMENT.get(path.split("/", 2)[1], RepoType.MODEL)


def page_repo(request: Request, db: Session, actor: Actor) -> Repo:
    """The repository of the address, if the actor may see it; raises as `access_repo` does."""
    params = request.path_params
    repo_type, namespace, name = type_of(request), params["ns"], params["name"]
    if "\0" in namespace + name or len(namespace) + len(name) > 200:
        raise RepoNotFound(lazy("Repository Not Found: no repository has such a name."))
    return access_repo(db, actor, repo_type, namespace, name)


def rev_url(rev: str) -> str:
    """A revision as one segment of an address."""
    return quote(rev, safe="")


def repo_href(repo: Repo) -> str:
    return repo_path(repo.repo_type, repo.repo_name)


def file_href(repo: Repo, verb: str, rev: str, path: str = "") -> str:
    """`/ada/tiny-llm/blob/main/config.json`; `verb` is tree, blob, resolve, commits, blame…"""
    tail = f"/{quote(path, safe='/')}" if path else ""
    return f"{repo_href(repo)}/{verb}/{rev_url(rev)}{tail}"
