"""The control "Watch": a small menu that any page can load, and a page of its own without script.

`GET /-/watch/{repo|thread|namespace}/{id}` answers with the menu alone to htmx.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import NotFound
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.accounts.policy import can_see as can_see_namespace
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    safe_next,
)
from llmos.features.discussions.hrefs import repo_href, thread_href
from llmos.features.discussions.models import Thread
from llmos.features.discussions.policy import can_see as can_see_thread
from llmos.features.notifications import watching
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import can_read
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router

router = Router(include_in_schema=False)
ADDRESS = "/-/watch/{kind:seg}/{target_id:int}"


@dataclass(frozen=True, slots=True)
class Watchable:
    """What one can watch, and how much the actor does."""

    kind: str
    id: int
    title: str
    href: str
    level: str


def _not_found() -> NotFound:
    return NotFound(lazy("There is nothing here that you can watch."))


def access_watchable(db: Session, actor: Actor, kind: str, target_id: int) -> Watchable:
    """The thing and the actor's level; NotFound for what is not there or not for them."""
    if target_id < 2**62:
        if kind == "repo":
            repo = db.get(Repo, target_id)
            if repo is not None and can_read(actor, repo):
                level = watching.repo_level(db, actor, repo)
                return Watchable(kind, repo.id, repo.repo_name, repo_href(repo), level)
        elif kind == "thread":
            thread = db.get(Thread, target_id)
            if thread is not None and can_see_thread(db, actor, thread):
                level = watching.thread_level(db, actor, thread)
                return Watchable(kind, thread.id, thread.title, thread_href(thread), level)
        elif kind == "namespace":
            space = db.get(Namespace, target_id)
            if space is not None and can_see_namespace(actor, space):
                level = watching.namespace_level(db, actor, space.id)
                return Watchable(kind, space.id, space.name, f"/{space.name}", level)
    raise _not_found()


def _set(db: Session, actor: Actor, thing: Watchable, level: str) -> None:
    if thing.kind == "repo":
        watching.set_repo_level(db, actor, db.get_one(Repo, thing.id), level)
    elif thing.kind == "thread":
        watching.set_thread_level(db, actor, db.get_one(Thread, thing.id), level)
    else:
        watching.set_namespace_level(db, actor, db.get_one(Namespace, thing.id), level)


def _answer(request: Request, actor: Actor, thing: Watchable, next_href: str) -> Response:
    is_fragment = request.headers.get("hx-request") == "true"
    template = "notifications/_watch.html" if is_fragment else "notifications/watch.html"
    context: dict[str, Any] = {"thing": thing, "next_href": next_href}
    return render_page(request, actor, template, context)


@router.get(ADDRESS)
def get_watch(request: Request, db: ReadDb, actor: ActorDep, kind: str, target_id: int) -> Response:
    if actor.is_anonymous:
        return redirect_to_login(request)
    thing = access_watchable(db, actor, kind, target_id)
    return _answer(request, actor, thing, safe_next(request.query_params.get("next"), thing.href))


@router.post(ADDRESS)
def post_watch(
    request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm, kind: str, target_id: int
) -> Response:
    """Set `level`; then the menu again (htmx), or back to `next`."""
    actor.require_user()
    with rt.database.writing() as db:
        _set(db, actor, access_watchable(db, actor, kind, target_id), form.text("level"))
    with rt.database.reading() as db:
        thing = access_watchable(db, actor, kind, target_id)
    next_href = safe_next(form.text("next"), thing.href)
    if request.headers.get("hx-request") == "true":
        return _answer(request, actor, thing, next_href)
    return redirect_page(request, next_href, lazy("Your choice is saved."))
