"""What the page around an application asks for it, beside the playground's own door for texts."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from llmos.core.errors import BadRequest, LlmosError, NotFound
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.apps.queries import list_models
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, request_locale
from llmos.features.endpoints.calls import CallStream, ask
from llmos.features.playground.asking import frames_of
from llmos.features.playground.pages.door import FrameStream, refuse, served_frame
from llmos.features.playground.pages.widget import mask_of
from llmos.features.playground.tasks import has_form, task_call
from llmos.features.repos.models import RepoFacts
from llmos.features.repos.policy import access_repo
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep

_MAX_NAME_CHARS = 200


def models_for(request: Request, rt: RuntimeDep, db: ReadDb, _actor: ActorDep) -> Response:
    """Public models that can be served for the tasks in `task`: `{"models": [{name, task, chat}]}`."""
    tasks = [task[:80].replace("\0", "") for task in request.query_params.getlist("task")]
    return JSONResponse({"models": list_models(db, rt, tasks)}, headers={"Cache-Control": "no-store"})


async def post_task(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """The task of `model` for the fields in `values`, an object of texts; lines as `/playground/ask`.

    The last line is `result` as `wire.serving` gives it. A refusal before is `{"error", "code"}`.
    """
    locale = request_locale(request, actor)
    try:
        values = _read_values(form.text("values", "{}", strip=False))
        name = form.text("model")
        task, mask = await run_in_threadpool(_task_of, rt, actor, name)
        stream = await ask(rt, actor, name, task_call(task, values, mask), task=task)
        return FrameStream(_frames(stream))
    except LlmosError as refusal:
        return refuse(refusal, locale)


def _read_values(text: str) -> dict[str, str]:
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError:
        values = None
    if not isinstance(values, dict) or not all(isinstance(one, str) for one in values.values()):
        raise BadRequest(lazy("values must be an object of texts."))
    return values


def _task_of(rt: Runtime, actor: Actor, model: str) -> tuple[str, str]:
    """The task of a model, and the token that stands for a missing word in it."""
    owner, _, name = model.partition("/")
    if not name or "/" in name or "\0" in model or len(model) > _MAX_NAME_CHARS:
        raise BadRequest(lazy("model must be the name of a model: namespace/name."))
    with rt.database.reading() as db:
        repo = access_repo(db, actor, RepoType.MODEL, owner, name)
        task = repo.pipeline_tag or ""
        if not has_form(task):
            raise NotFound(lazy("There is no form to try this kind of model."))
        return task, mask_of(db.get(RepoFacts, repo.id))


async def _frames(stream: CallStream) -> AsyncGenerator[dict[str, Any], None]:
    has_said = False
    async with aclosing(frames_of(stream)) as frames:
        async for frame in frames:
            if not has_said and stream.served is not None:
                has_said = True
                yield served_frame(stream.served)
            yield frame
