"""All pages of repositories on one router; it comes last, as `/{ns}/{name}` takes what is left."""

from __future__ import annotations

from fastapi import FastAPI

from llmos.core.repo_types import RepoType
from llmos.features.repos.pages import (
    blob,
    branches,
    connect,
    curves,
    deleted,
    edit,
    files,
    history,
    lists,
    new,
    repo,
    settings,
    storage,
    storage_namespace,
    upload,
)
from llmos.features.repos.pages.routes import TYPE_ORDER, RepoRoutes, add_page
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.routing import add_router

_GET = ["GET", "HEAD"]
_MODULES = (repo, files, blob, curves, history, branches, edit, upload, settings, storage)
# Slot: pages of features above that lie below a repository's address.
_more_routes: list[RepoRoutes] = []


def add_repo_routes(routes: RepoRoutes) -> None:
    """Slot: from the next `add_repo_pages` on, every repository has these pages too."""
    if routes not in _more_routes:
        _more_routes.append(routes)


def add_repo_pages(app: FastAPI) -> None:
    """Register every page; nothing may be registered after it that has a free first segment."""
    router = Router()
    add_page(router, "/robots.txt", connect.robots, _GET)
    for kind in RepoType:
        add_page(router, f"/{kind.plural}", lists.make_list_page(kind), _GET)
        add_page(router, new.NEW_HREFS[kind], new.make_new_page(kind), _GET)
        add_page(router, new.NEW_HREFS[kind], new.make_post_new(kind), ["POST"])
    add_page(router, "/{ns:seg}/-/deleted", deleted.deleted_page, _GET)
    add_page(router, "/{ns:seg}/-/storage", storage_namespace.namespace_storage_page, _GET)
    add_page(router, "/{ns:seg}/-/deleted", deleted.post_restore, ["POST"])
    for kind in TYPE_ORDER:
        for module in _MODULES:
            module.routes.add_to(router, kind)
        for routes in _more_routes:
            routes.add_to(router, kind)
    add_router(app, router)
