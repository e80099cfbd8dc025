"""Pages of the playground, and the form beside the card of each model that people can try."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.auth.page_context import add_menu_link
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.frame import RepoTab, add_repo_tab
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.routing import add_router
from llmos.ui.render import MenuLink, register_templates
from llmos.ui.static_files import register_static

_HERE = Path(__file__).parents[1]
_GET, _POST = ["GET", "HEAD"], ["POST"]


def add_playground_api(app: FastAPI) -> None:
    """What frames on other sites ask; before the addresses that the Hub's protocol keeps."""
    from llmos.features.playground.pages import embed
    from llmos.features.repos.pages.routes import add_page

    router = Router()
    add_page(router, "/api/playground/{ns:seg}/{name:seg}/embed", embed.post_embed, _POST)
    add_router(app, router)


def add_playground_pages(app: FastAPI) -> None:
    """Register the pages; before those of repositories, whose addresses take what is left."""
    from llmos.features.playground.pages import door, embed, play, tools, widget
    from llmos.features.repos.pages.repo import add_card_panel
    from llmos.features.repos.pages.router import add_repo_routes
    from llmos.features.repos.pages.routes import add_page

    register_templates(_HERE / "templates")
    register_static(_HERE / "static")
    router = Router()
    chat, shared = "/playground/chats/{chat:seg}", "/playground/s/{secret:seg}"
    for methods, path, endpoint in (
        (_GET, "/playground", play.playground_page),
        (_POST, "/playground", play.post_playground),
        (_POST, "/playground/ask", door.post_ask),
        (_POST, "/playground/explain", tools.post_explain),
        (_POST, "/playground/code", tools.post_code),
        (_POST, "/playground/share", tools.post_share),
        (_POST, "/playground/discuss", tools.post_discuss),
        (_GET, "/playground/chats", tools.chats_page),
        (_POST, "/playground/chats", play.post_keep),
        (_GET, chat, play.chat_page),
        (_POST, chat, tools.post_chat),
        (_GET, shared, tools.share_page),
        (_POST, shared, tools.post_shared),
    ):
        add_page(router, path, endpoint, methods)
    add_router(app, router)
    add_repo_routes(play.routes)
    add_repo_routes(embed.routes)
    add_repo_tab(_tab_of)
    add_card_panel(widget.card_panel)
    add_menu_link(_menu_link)


def _tab_of(repo: Repo) -> RepoTab | None:
    from llmos.features.playground.tasks import has_form
    from llmos.features.playground.workspace import WRITERS

    is_tried = has_form(repo.pipeline_tag) or repo.pipeline_tag in WRITERS
    if repo.repo_type is not RepoType.MODEL or not is_tried:
        return None
    return RepoTab("playground", lazy("Playground"), "/playground", "sparkles")


def _menu_link(rt: Runtime, actor: Actor) -> MenuLink | None:
    return MenuLink(lazy("Playground"), "/playground", "sparkles")
