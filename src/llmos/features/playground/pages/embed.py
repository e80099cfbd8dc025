"""A public model to try in a frame of another site."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from llmos.core.errors import Forbidden, LlmosError, NotFound
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import ANONYMOUS, Actor
from llmos.features.auth.edge import ActorDep, client_ip
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.playground.pages.door import refuse, stream_talk
from llmos.features.playground.pages.widget import script_answer, widget_context
from llmos.features.playground.schemas import Params, Talk, Turn
from llmos.features.playground.tasks import has_form
from llmos.features.playground.workspace import WRITERS
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.routes import RepoRoutes
from llmos.features.repos.policy import access_repo
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.forms import read_form
from llmos.infra.web.urls import base_url

routes = RepoRoutes()
_PURPOSE = "embed"
TICKET_TTL_S = 12 * 3600
MAX_TOKENS = 256


@routes.get("/embed")
def embed_page(request: Request, rt: RuntimeDep, db: ReadDb, _actor: ActorDep) -> Response:
    """What everybody may try: whoever looks at the frame is never signed in to it."""
    params = request.path_params
    repo = _public_model(db, params["ns"], params["name"])
    locale = request_locale(request, ANONYMOUS)
    context: dict[str, Any] = {
        "widget": widget_context(db, rt, repo, locale)
        | {
            "action": f"/api/playground/{repo.repo_name}/embed",
            "ticket": rt.signer.sign(_PURPOSE, {"r": repo.id}, ttl_s=TICKET_TTL_S),
        },
        "href": f"{base_url(request, rt.settings)}/{repo.repo_name}",
    }
    response = render_page(request, None, "playground/embed.html", context)
    policy = response.headers["Content-Security-Policy"]
    response.headers["Content-Security-Policy"] = policy.replace(
        "frame-ancestors 'none'", "frame-ancestors *"
    )
    del response.headers["X-Frame-Options"]
    del response.headers["Cross-Origin-Opener-Policy"]
    return response


def _public_model(db: Session, ns: str, name: str) -> Repo:
    if "\0" in ns + name or len(ns) + len(name) > 200:
        raise NotFound(lazy("Repository Not Found: no repository has such a name."))
    repo = access_repo(db, ANONYMOUS, RepoType.MODEL, ns, name)
    if not has_form(repo.pipeline_tag) and repo.pipeline_tag not in WRITERS:
        raise NotFound(lazy("There is no form to try this kind of model."))
    return repo


async def post_embed(request: Request, rt: RuntimeDep, _actor: ActorDep, ns: str, name: str) -> Response:
    """What a frame asks, always as a visitor, whoever may be signed in beside it.

    A browser keeps no cookie for a frame of another site, so the form carries a signed ticket of its
    page instead of a form token; it opens no more than any visitor may do.
    """
    form = await read_form(request)
    actor = Actor(ip=client_ip(request))
    locale = request_locale(request, actor)
    try:
        repo = await run_in_threadpool(_read, rt, ns, name)
        ticket = rt.signer.verify(_PURPOSE, form.text("ticket"))
        if ticket is None or ticket.get("r") != repo.id:
            raise Forbidden(lazy("This form is out of date: open the page again and repeat."))
        if has_form(repo.pipeline_tag):
            return await script_answer(request, rt, actor, form, repo)
        talk = Talk(
            mode="chat" if form.text("mode") == "chat" else "completion",
            models=[repo.repo_name],
            params=Params(max_tokens=MAX_TOKENS),
            turns=[Turn(text=form.text("text", strip=False))],
        )
        return await stream_talk(rt, actor, talk, 0, locale)
    except LlmosError as refusal:
        return refuse(refusal, locale)


def _read(rt: Runtime, ns: str, name: str) -> Repo:
    with rt.database.reading() as db:
        return _public_model(db, ns, name)
