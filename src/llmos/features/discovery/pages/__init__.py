"""The entrances as pages: home, search, people, the guide, "which model"."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.routing import add_router
from llmos.ui.render import register_templates

register_templates(Path(__file__).parents[1] / "templates")
_GET = ["GET", "HEAD"]


def add_discovery_pages(app: FastAPI) -> None:
    """Pages with addresses of their own."""
    from llmos.features.discovery.pages import guide, home, search, which
    from llmos.features.repos.pages.routes import add_page

    router = Router()
    add_page(router, "/", home.home_page, _GET)
    add_page(router, "/feed", home.feed_page, _GET)
    add_page(router, "/search", search.search_page, _GET)
    add_page(router, "/search/suggest", search.suggestions, _GET)
    add_page(router, "/which-model", which.which_page, _GET)
    add_page(router, "/docs", guide.start_page, _GET)
    add_page(router, "/docs/{name:seg}", guide.guide_page, _GET)
    add_router(app, router)


def add_people_pages(app: FastAPI) -> None:
    """Pages below a name; they come last, as `/{name}` takes what is left."""
    from llmos.features.discovery.pages import people
    from llmos.features.repos.pages.routes import add_page

    router = Router()
    add_page(router, "/{ns:seg}", people.profile_page, _GET)
    for part in people.PARTS:
        add_page(router, f"/{{ns:seg}}/-/{part}", people.make_part_page(part), _GET)
    add_router(app, router)
