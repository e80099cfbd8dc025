"""The page of an application, the files in its frame, and what the page asks for it."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from llmos.features.repos.models import Repo, RepoFacts
from llmos.features.repos.pages.frame import RepoTab, add_repo_tab
from llmos.infra.i18n import lazy
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.routing import add_router
from llmos.ui.render import register_templates
from llmos.ui.static_files import register_static

_HERE = Path(__file__).parents[1]
_GET, _POST = ["GET", "HEAD"], ["POST"]


def add_app_pages(app: FastAPI) -> None:
    """Register the pages; before those of repositories, whose addresses take what is left."""
    from llmos.features.apps.pages import calls, page
    from llmos.features.repos.pages.repo import CardAction, add_card_action
    from llmos.features.repos.pages.routes import add_page

    def card_action(repo: Repo, _facts: RepoFacts) -> CardAction | None:
        tab = _tab_of(repo)
        return (
            CardAction(lazy("Open the application"), f"/spaces/{repo.repo_name}/app", "play") if tab else None
        )

    register_templates(_HERE / "templates")
    register_static(_HERE / "static")
    router = Router()
    space = "/spaces/{ns:seg}/{name:seg}/app"
    add_page(router, space, page.app_page, _GET)
    add_page(router, space + "/{ticket:seg}/{path:rest}", page.app_file, _GET)
    add_page(router, "/-/apps/models", calls.models_for, _GET)
    add_page(router, "/-/apps/task", calls.post_task, _POST)
    add_router(app, router)
    add_repo_tab(_tab_of)
    add_card_action(card_action)


def _tab_of(repo: Repo) -> RepoTab | None:
    from llmos.features.apps.serving import is_app

    return RepoTab("app", lazy("Application"), "/app", "app-window") if is_app(repo) else None
