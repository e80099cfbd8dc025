"""First steps and the user's guide."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from llmos.core.errors import NotFound
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.discovery.guide import get_guide_page, guide_titles
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import RuntimeDep
from llmos.infra.web.urls import base_url
from llmos.ui.markdown import render_markdown


def start_page(request: Request, rt: RuntimeDep, actor: ActorDep) -> Response:
    """`/docs`: from nothing to a first download and a first upload; then the guide."""
    context = {
        "address": base_url(request, rt.settings),
        "user": actor.name or "ada",
        "guide": guide_titles(request_locale(request, actor)),
    }
    return render_page(request, actor, "discovery/start.html", context)


def guide_page(request: Request, actor: ActorDep, name: str) -> Response:
    locale = request_locale(request, actor)
    page = get_guide_page(name.removesuffix(".md").removesuffix(".zh"), locale)
    if page is None:
        raise NotFound(lazy("The guide has no such page."))
    rendered = render_markdown(page.text, base_url_for_links="/docs/", image_base="/docs/")
    context = {"doc": page, "rendered": rendered, "guide": guide_titles(locale)}
    return render_page(request, actor, "discovery/guide.html", context)
