"""Endpoints in a browser: the list, one of them, and the form that makes one."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.responses import HTMLResponse

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.auth.page_context import add_menu_link
from llmos.features.repos.models import Repo, RepoFacts
from llmos.features.repos.pages.repo import CardAction, add_card_action
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.routing import add_router
from llmos.ui.filters import with_query
from llmos.ui.render import MenuLink, register_templates

_HERE = Path(__file__).parent.parent
_WEIGHTS = (".safetensors", ".gguf")


def add_endpoint_api(app: FastAPI) -> None:
    """Our own calls; before the addresses that the Hub's protocol keeps for what is not built."""
    from llmos.features.endpoints import api

    add_router(app, api.router)


def add_endpoint_pages(app: FastAPI) -> None:
    """Register the pages; before those of repositories, whose addresses take what is left."""
    from llmos.features.endpoints.pages import detail, lists, new

    add_card_action(_deploy)
    register_templates(_HERE / "templates")
    add_menu_link(_endpoints_link)
    router = Router(default_response_class=HTMLResponse, include_in_schema=False)
    get, post = ["GET", "HEAD"], ["POST"]
    for methods, path, endpoint in (
        (get, "/endpoints", lists.list_page),
        (get, "/endpoints/-/new", new.new_page),
        (post, "/endpoints/-/new", new.post_new),
        (get, "/endpoints/{endpoint:seg}", detail.endpoint_page),
        (post, "/endpoints/{endpoint:seg}", detail.post_endpoint),
    ):
        router.add_api_route(path, endpoint, methods=methods, response_model=None)
    add_router(app, router)


def _deploy(repo: Repo, facts: RepoFacts) -> CardAction | None:
    """For models with weights that something here may serve."""
    names = (str(item.get("rfilename")) for item in facts.siblings or [] if isinstance(item, dict))
    if repo.repo_type is not RepoType.MODEL or not any(name.endswith(_WEIGHTS) for name in names):
        return None
    return CardAction(lazy("Deploy"), with_query("/endpoints/-/new", {"model": repo.repo_name}), "rocket")


def _endpoints_link(rt: Runtime, actor: Actor) -> MenuLink | None:
    return MenuLink(lazy("Endpoints"), "/endpoints", "rocket")
