"""A Space with its application in a frame, and the files for that frame."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from llmos.core.errors import BadRequest
from llmos.features.apps.serving import access_app_file, app_file_of, is_app, sign_ticket
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale, request_theme
from llmos.features.playground.workspace import WORDS
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.frame import repo_frame
from llmos.features.repos.pages.new import list_owners
from llmos.features.repos.pages.repo import gate_of
from llmos.features.repos.pages.routes import page_repo, repo_href
from llmos.infra.i18n import Locale, lazy, localize
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.files import ContentResponse
from llmos.infra.web.urls import base_url
from llmos.ui.filters import with_query

# Of the playground's words, those about an answer under way.
_STAGES = (
    *("asking", "queued", "place", "scheduled", "fetching", "starting", "import", "load", "warm"),
    *("seconds", "lost"),
)
_WORDS = {
    "consent": lazy(
        "The application %(space)s wants to ask the model %(model)s as you. It reads the answers, "
        "and what it asks counts towards your limits.",
        space="{space}",
        model="{model}",
    ),
    "refused": lazy("You did not allow this application to ask models."),
    "noReadme": lazy("There is no public repository of this name with a README.md."),
    "tooMany": lazy("The application asks too much at once: wait for an answer first."),
    "unknown": lazy("The application asked for something that this page does not know."),
}


def app_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """The Space's application; 404 with how it gets one where it has none that runs here."""
    repo = page_repo(request, db, actor)
    gate = gate_of(db, actor, repo)
    first = app_file_of(db, rt, repo) if is_app(repo) and not gate and not repo.disabled else ""
    locale = request_locale(request, actor)
    folder = app_folder(request, rt, repo, sign_ticket(rt, actor, repo)) if first else ""
    look = {"lang": locale, "theme": request_theme(request, actor)}
    context: dict[str, Any] = {
        "frame": repo_frame(db, rt, actor, repo, locale, "app"),
        "gate": gate,
        "is_static": is_app(repo),
        "src": with_query(folder + quote(first), look) if first else "",
        "config": {"space": repo.repo_name, "commit": repo.head_oid, "words": _words(locale)},
        "owners": [owner.name for owner in list_owners(db, actor)] if actor.user_id is not None else [],
        "settings_href": f"{repo_href(repo)}/settings",
    }
    response = render_page(request, actor, "apps/app.html", context, status=200 if first or gate else 404)
    if folder:
        # Also keeps the frame from leaving for another address, which could carry away what it knows.
        response.headers["Content-Security-Policy"] += f"; frame-src {folder}"
    return response


def _words(locale: Locale) -> dict[str, str]:
    chosen = {key: WORDS[key] for key in _STAGES} | _WORDS
    return {key: localize(text, locale) for key, text in chosen.items()}


def app_folder(request: Request, rt: Runtime, repo: Repo, ticket: str) -> str:
    """Where the files of an application lie, as an absolute address that ends with a slash."""
    address = base_url(request, rt.settings)
    if any(char in address for char in ";, '\""):
        raise BadRequest(lazy("The Host header is no name of a host."))
    return f"{address}{repo_href(repo)}/app/{ticket}/"


def app_file(
    request: Request, rt: RuntimeDep, db: ReadDb, _actor: ActorDep, ns: str, name: str, ticket: str, path: str
) -> Response:
    """A file for the frame: whoever holds the ticket, whatever cookie comes with the request."""
    found = access_app_file(db, rt, ns, name, ticket, path)
    folder = f"{base_url(request, rt.settings)}/spaces/{ns}/{name}/app/{ticket}/"
    if any(char in folder for char in ";, '\""):
        raise BadRequest(lazy("The Host header is no name of a host."))
    return ContentResponse(
        request, found.content, headers=_headers(request, rt, folder), media_type=found.media_type
    )


def _headers(request: Request, rt: Runtime, folder: str) -> dict[str, str]:
    """What an application may do: nothing but show itself and talk to the page around it.

    In a frame without an origin 'self' names nothing, so its folder is named in full.
    """
    policy = (
        "sandbox allow-scripts allow-forms",
        "default-src 'none'",
        f"script-src {folder}",
        f"style-src {folder} 'unsafe-inline'",
        f"img-src {folder} data: blob:",
        f"font-src {folder} data:",
        f"media-src {folder} data: blob:",
        "connect-src 'none'",
        "form-action 'none'",
        "base-uri 'none'",
        f"frame-ancestors {base_url(request, rt.settings)}",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        # Modules and fonts come as a stranger's request; the ticket in the address is what opens them.
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
        "X-DNS-Prefetch-Control": "off",
        "X-Robots-Tag": "noindex",
        "Cache-Control": "private, no-cache",
    }
