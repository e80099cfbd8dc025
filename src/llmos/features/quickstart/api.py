"""The quick start for programs: begin a run, follow it, try again, stop."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import Depends, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import request_locale
from llmos.features.quickstart import service
from llmos.features.quickstart.models import QuickstartRun
from llmos.features.quickstart.policy import access_run
from llmos.features.quickstart.story import tell
from llmos.features.quickstart.telling import run_json
from llmos.infra.i18n import lazy, localize
from llmos.infra.runtime import Runtime
from llmos.infra.web.bodies import read_body
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url

router = Router(tags=["quickstart"])
MAX_BODY_BYTES = 16 * 1024


async def _body(request: Request, actor: ActorDep) -> dict[str, Any]:
    actor.require_user()
    data = await read_body(request.receive, limit_bytes=MAX_BODY_BYTES)
    try:
        value = orjson.loads(data or b"{}")
    except orjson.JSONDecodeError as error:
        raise BadRequest(lazy("The body is no JSON.")) from error
    if not isinstance(value, dict):
        raise BadRequest(lazy("The body must be a JSON object."))
    return value


BodyDep = Annotated[dict[str, Any], Depends(_body)]


def _answer(request: Request, rt: Runtime, db: Session, actor: Actor, run: QuickstartRun) -> Response:
    locale = request_locale(request, actor)
    story = tell(db, actor, run, base_url(request, rt.settings))
    value = run_json(story, lambda text: localize(text, locale) if text else "")
    return Response(orjson.dumps(value), media_type="application/json")


@router.post("/api/quickstart")
def post_start(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, body: BodyDep) -> Response:
    """Begin a run: `path` (train, finetune), `name`, `lang` (both, en, zh), `max_minutes`, `private`."""
    minutes = body.get("max_minutes", 2)
    if not isinstance(minutes, int | float) or isinstance(minutes, bool):
        raise BadRequest(lazy("max_minutes must be a number."), data={"field": "max_minutes"})
    texts = {key: body.get(key, default) for key, default in _TEXTS.items()}
    for key, value in texts.items():
        if not isinstance(value, str) or len(value) > 200:
            raise BadRequest(lazy("%(field)s must be a text.", field=key), data={"field": key})
    run = service.start_run(
        db,
        actor,
        path=texts["path"],
        name=texts["name"],
        languages=texts["lang"],
        max_minutes=float(minutes),
        is_private=body.get("private") is True,
        locale=request_locale(request, actor),
    )
    return _answer(request, rt, db, actor, run)


_TEXTS = {"path": "train", "name": "", "lang": "both"}


@router.get("/api/quickstart/{run_id:seg}")
def get_run(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, run_id: str) -> Response:
    """A run: its steps, and at the end its scores, its endpoint and what it wrote."""
    return _answer(request, rt, db, actor, access_run(db, actor, run_id))


@router.post("/api/quickstart/{run_id:seg}/retry")
def post_retry(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, run_id: str) -> Response:
    """Go on with the step that failed."""
    run = service.retry_run(db, actor, access_run(db, actor, run_id))
    return _answer(request, rt, db, actor, run)


@router.post("/api/quickstart/{run_id:seg}/stop")
def post_stop(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, run_id: str) -> Response:
    """End a run, and the training under way in it."""
    run = access_run(db, actor, run_id)
    service.stop_run(db, actor, run)
    return _answer(request, rt, db, actor, run)
