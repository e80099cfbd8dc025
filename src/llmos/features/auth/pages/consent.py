"""`/oauth/authorize`: the page where a person lets an app in (RFC 6749, section 4.1.1)."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from llmos.features.accounts.actor import Actor
from llmos.features.auth import oauth_flow
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.oauth_flow import PARAMETERS, Question
from llmos.features.auth.oauth_scopes import SCOPES
from llmos.features.auth.page_context import PageForm, redirect_to_login, render_page
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.page_headers import PAGE_HEADERS

router = Router(include_in_schema=False)
_DENIED = ("access_denied", "the person refused")


def _leave(url: str) -> Response:
    """303, whatever the method was, so that no form is sent on to the app; nobody keeps the code."""
    return RedirectResponse(url, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})


def _ask(request: Request, actor: Actor, question: Question) -> Response:
    target = urlsplit(question.redirect_uri)
    context = {
        "app": question.app,
        "host": target.netloc or question.redirect_uri,
        "scopes": [SCOPES[name].label for name in question.scopes],
        "fields": {name: request.query_params.get(name, "") for name in PARAMETERS},
    }
    response = render_page(request, actor, "auth/consent.html", context)
    # The answer to the form is a redirect to the app, which browsers count as a form going there.
    place = f"{target.scheme}://{target.netloc}" if target.netloc else f"{target.scheme}:"
    policy = PAGE_HEADERS["Content-Security-Policy"]
    response.headers["Content-Security-Policy"] = policy.replace(
        "form-action 'self'", f"form-action 'self' {place}"
    )
    return response


@router.get("/oauth/authorize")
def get_authorize(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """Ask the person; an app that may have what it had before goes straight on."""
    question = oauth_flow.read_question(db, request.query_params)
    if question.problem is not None:
        return _leave(question.refusal(*question.problem))
    if actor.is_anonymous:
        if question.prompt == "none":
            return _leave(question.refusal("login_required", "nobody is signed in"))
        return redirect_to_login(request)
    if not oauth_flow.is_granted(db, actor, question):
        if question.prompt == "none":
            return _leave(question.refusal("consent_required", "the person has to be asked"))
        return _ask(request, actor, question)
    db.close()  # the writer below must not wait for this reader
    with rt.database.writing() as writer:
        return _leave(oauth_flow.allow(writer, actor, oauth_flow.read_question(writer, request.query_params)))


@router.post("/oauth/authorize")
def post_authorize(db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """The person's answer. The question is checked again: a form can be changed on its way."""
    question = oauth_flow.read_question(db, {name: form.text(name, strip=False) for name in PARAMETERS})
    if question.problem is not None:
        return _leave(question.refusal(*question.problem))
    if form.text("decision") != "allow":
        return _leave(question.refusal(*_DENIED))
    return _leave(oauth_flow.allow(db, actor, question))
