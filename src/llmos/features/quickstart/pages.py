"""Train your first model, in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest, LlmosError
from llmos.core.names import split_repo_name
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.discovery.pages.home import HomeOffer, home_offers
from llmos.features.quickstart import service
from llmos.features.quickstart.fetching import ask_for_base, read_fetch
from llmos.features.quickstart.models import FAILED, FINETUNE, RUNNING, QuickstartRun
from llmos.features.quickstart.policy import access_run, can_change
from llmos.features.quickstart.queries import get_open_run, list_runs
from llmos.features.quickstart.recipes import BASE
from llmos.features.quickstart.story import tell
from llmos.features.repos.policy import get_repo
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb, get_runtime
from llmos.infra.web.forms import Form
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.routing import add_router
from llmos.infra.web.urls import base_url
from llmos.ui.render import register_templates

register_templates(Path(__file__).parent / "templates")
_GET, _POST = ["GET", "HEAD"], ["POST"]
MINUTES = (1, 2, 5, 10)


def add_quickstart_api(app: FastAPI) -> None:
    """Our own calls; before the addresses that the Hub's protocol keeps for what is not built."""
    from llmos.features.quickstart import api

    add_router(app, api.router)


def add_quickstart_pages(app: FastAPI) -> None:
    """The page that offers it, and the page of each run."""
    from llmos.features.repos.pages.routes import add_page

    router = Router()
    add_page(router, "/quickstart", start_page, _GET)
    add_page(router, "/quickstart", post_start, _POST)
    add_page(router, "/quickstart/smollm2", base_part, _GET)
    add_page(router, "/quickstart/smollm2", post_base, _POST)
    add_page(router, "/quickstart/{run_id:seg}", run_page, _GET)
    add_page(router, "/quickstart/{run_id:seg}", post_run, _POST)
    add_page(router, "/quickstart/{run_id:seg}/live", live_part, _GET)
    add_router(app, router)


def start_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """What will happen, one button, and earlier runs. `minutes` in the address fills in another time."""
    if actor.user_id is None:
        return redirect_to_login(request)
    values = {"minutes": request.query_params.get("minutes", "2")[:8], "lang": "both", "path": "train"}
    return _start(request, db, actor, values)


def _start(
    request: Request, db: Session, actor: Actor, values: dict[str, str], error: Any = "", status: int = 200
) -> Response:
    assert actor.user_id is not None
    minutes = [f"{one}" for one in MINUTES]
    context = {
        "values": values,
        "error": error,
        "minutes": minutes if values["minutes"] in minutes else [*minutes, values["minutes"]],
        "open_run": get_open_run(db, actor.user_id),
        "runs": [_row(run) for run in list_runs(db, actor.user_id)],
        **_of_base(request, db, actor),
    }
    return render_page(request, actor, "quickstart/start.html", context, status=status)


def _of_base(request: Request, db: Session, actor: Actor) -> dict[str, Any]:
    """Whether there is a model to fine-tune, and what can be done about it."""
    return {
        "base_model": BASE,
        "has_base": get_repo(db, RepoType.MODEL, *split_repo_name(BASE)) is not None,
        "is_admin": actor.is_admin,
        "fetch": read_fetch(get_runtime(request)),
    }


def base_part(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """The card about the model to fine-tune, which changes while it is fetched."""
    if actor.user_id is None:
        return redirect_to_login(request)
    context = _of_base(request, db, actor) | {"values": {"minutes": "2"}}
    context["open_run"] = get_open_run(db, actor.user_id)
    return render_page(request, actor, "quickstart/_base.html", context)


def post_base(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Fetch it: for admins."""
    if actor.user_id is None:
        return redirect_to_login(request)
    ask_for_base(db, rt, actor)
    return redirect_page(request, "/quickstart#smollm2")


def offer(_: Session, actor: Actor) -> HomeOffer | None:
    """A first model, for who has signed in."""
    if actor.user_id is None:
        return None
    # Whether the chat model is here is said one page further: this one has asked enough.
    return HomeOffer("quickstart/_offer.html", {})


home_offers.append(offer)


def _row(run: QuickstartRun) -> dict[str, Any]:
    return {
        "href": f"/quickstart/{run.object_id}",
        "name": run.model_name,
        "state": run.state,
        "label": _LABELS[run.state],
        "kind": _KINDS[run.state],
        "at": run.created_at,
    }


_LABELS = {RUNNING: lazy("Under way"), FAILED: lazy("Failed"), "done": lazy("Done")}
_KINDS = {RUNNING: "accent", FAILED: "danger", "done": "success"}


def post_start(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Begin a run; back to the form with what is wrong."""
    if actor.user_id is None:
        return redirect_to_login(request)
    values = {
        "minutes": form.text("minutes") or "2",
        "lang": form.text("lang") or "both",
        "path": form.text("path") or "train",
        "name": form.text("name"),
    }
    try:
        run = service.start_run(
            db,
            actor,
            path=values["path"],
            name=values["name"],
            languages=values["lang"],
            max_minutes=_minutes(form),
            is_private=form.has("private"),
            locale=request_locale(request, actor),
        )
    except LlmosError as refusal:
        db.rollback()
        return _start(request, db, actor, values, refusal.message, refusal.status)
    return redirect_page(request, f"/quickstart/{run.object_id}")


def _minutes(form: Form) -> float:
    try:
        return float(form.text("minutes") or "2")
    except ValueError as error:
        raise BadRequest(
            lazy("The time limit must be a number of minutes."), data={"field": "minutes"}
        ) from error


def run_page(request: Request, db: ReadDb, actor: ActorDep, run_id: str) -> Response:
    """All steps as they are; with script the page goes on by itself."""
    if actor.user_id is None:
        return redirect_to_login(request)
    return _render(request, db, actor, run_id, "quickstart/run.html")


def live_part(request: Request, db: ReadDb, actor: ActorDep, run_id: str) -> Response:
    """What changes while a run goes on."""
    return _render(request, db, actor, run_id, "quickstart/_live.html")


def _render(request: Request, db: Session, actor: Actor, run_id: str, template: str) -> Response:
    run = access_run(db, actor, run_id)
    story = tell(db, actor, run, base_url(request, get_runtime(request).settings))
    context = {
        "story": story,
        "run": run,
        "href": f"/quickstart/{run.object_id}",
        "label": _LABELS[run.state],
        "kind": _KINDS[run.state],
        "may_change": can_change(actor, run),
        "is_finetune": run.path == FINETUNE,
        "boards": _boards(story.standings),
        "try_href": f"/playground?model={quote(run.model_name, safe='')}",
    }
    return render_page(request, actor, template, context)


def _boards(standings: list[Any]) -> list[list[Any]]:
    """Lines of each board near the model: the best, its neighbours, the baselines."""
    boards: dict[tuple[int, str], list[Any]] = {}
    for one in standings:
        boards.setdefault((one.dataset_id, one.task_id), []).append(one)
    found = []
    for lines in boards.values():
        own = next((one.rank for one in lines if one.is_own), 1)
        found.append([one for one in lines if one.rank <= 3 or abs(one.rank - own) <= 1 or one.is_baseline])
    return found


def post_run(request: Request, db: WriteDb, actor: ActorDep, form: PageForm, run_id: str) -> Response:
    """`action`: retry or stop."""
    if actor.user_id is None:
        return redirect_to_login(request)
    run = access_run(db, actor, run_id)
    action = form.text("action")
    if action == "retry":
        service.retry_run(db, actor, run)
    elif action == "stop":
        service.stop_run(db, actor, run)
    else:
        raise BadRequest(lazy("There is no such action."))
    return redirect_page(request, f"/quickstart/{run.object_id}")
