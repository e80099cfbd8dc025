"""The playground itself: `/playground`, a model's own, kept conversations; forms without script, too."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from llmos.core.errors import BadRequest, LlmosError, NotFound
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, render_page, request_locale
from llmos.features.playground.asking import answer_of, render_answer
from llmos.features.playground.pages.door import refuse, stream_talk
from llmos.features.playground.pages.widget import answer_task, widget_context
from llmos.features.playground.schemas import Params, Talk, Turn, read_params, read_talk
from llmos.features.playground.talks import access_chat, keep_chat, recent_chats
from llmos.features.playground.tasks import has_form
from llmos.features.playground.workspace import (
    HINTS,
    WORDS,
    Played,
    find_model,
    fit_mode,
    list_choices,
    played_repo,
)
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.frame import repo_frame
from llmos.features.repos.pages.repo import gate_of
from llmos.features.repos.pages.routes import RepoRoutes, page_repo, repo_href
from llmos.infra.i18n import Locale, lazy, localize
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.forms import Form

routes = RepoRoutes()
RECENT = 6
_NUMBERS = (
    *("temperature", "top_p", "top_k", "max_tokens", "seed"),
    *("presence_penalty", "frequency_penalty", "repetition_penalty"),
)


def playground_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """`model` and `with` name what to talk to; without a model one chooses."""
    query = request.query_params
    names = [name for key in ("model", "with") if (name := query.get(key, "").strip()[:200])]
    if not names:
        return _chooser(request, db, actor)
    talk = Talk(models=names, turns=[])
    return _show(request, rt, db, actor, talk, None, chat="", draft=query.get("text", "")[:20_000])


def _chooser(request: Request, db: Session, actor: Actor) -> Response:
    context: dict[str, Any] = {
        "choices": list_choices(db, actor),
        "recent": recent_chats(db, actor, RECENT),
    }
    return render_page(request, actor, "playground/choose.html", context)


def chat_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, chat: str) -> Response:
    """A kept conversation, to go on with."""
    kept = access_chat(db, actor, chat)
    return _show(request, rt, db, actor, Talk.model_validate(kept.talk), None, chat=chat)


@routes.get("/playground")
def model_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """A model's own playground: a conversation, or the form of its task."""
    repo = _page_model(request, db, actor)
    if has_form(repo.pipeline_tag):
        return render_page(request, actor, "playground/task.html", _task_page(request, rt, db, actor, repo))
    return _show(request, rt, db, actor, Talk(models=[repo.repo_name]), repo, chat="")


def _page_model(request: Request, db: Session, actor: Actor) -> Repo:
    repo = page_repo(request, db, actor)
    if repo.repo_type is not RepoType.MODEL:
        raise NotFound(lazy("Only models can be talked to."))
    return repo


def _task_page(request: Request, rt: Runtime, db: Session, actor: Actor, repo: Repo) -> dict[str, Any]:
    locale = request_locale(request, actor)
    return {
        "frame": repo_frame(db, rt, actor, repo, locale, "playground"),
        "widget": widget_context(db, rt, repo, locale, is_large=True),
        "gate": gate_of(db, actor, repo),
    }


def _show(
    request: Request,
    rt: Runtime,
    db: Session,
    actor: Actor,
    talk: Talk,
    repo: Repo | None,
    *,
    chat: str,
    draft: str = "",
    error: LlmosError | None = None,
) -> Response:
    locale = request_locale(request, actor)
    if repo is not None:
        played = [played_repo(db, rt, repo)]
    else:
        played = [find_model(db, rt, actor, name) for name in talk.models]
    talk = fit_mode(talk, played)
    context = {
        **_workspace(talk, played, locale, chat, draft, error, keeps=actor.user_id is not None),
        "action": f"{repo_href(repo)}/playground" if repo else "/playground",
        "choices": [] if repo else list_choices(db, actor),
        "recent": recent_chats(db, actor, RECENT),
        "is_free": repo is None,
    }
    template = "playground/page.html"
    if repo is not None:
        context["frame"] = repo_frame(db, rt, actor, repo, locale, "playground")
        template = "playground/model.html"
    return render_page(request, actor, template, context, status=error.status if error else 200)


def _workspace(
    talk: Talk,
    played: list[Played],
    locale: Locale,
    chat: str,
    draft: str,
    error: LlmosError | None,
    *,
    keeps: bool,
) -> dict[str, Any]:
    data = talk.model_dump(mode="json")
    config = {
        "talk": data,
        "chat": chat,
        "models": [{"name": m.name, "href": m.href, "canChat": m.can_chat} for m in played],
        "words": {key: localize(text, locale) for key, text in WORDS.items()},
        "hints": {key: localize(text, locale) for key, text in HINTS.items()},
        "keeps": keeps,
        "defaults": Params().model_dump(mode="json"),
    }
    return {
        "talk": talk,
        "talk_json": talk.model_dump_json(),
        "played": played,
        "config": config,
        "draft": draft,
        "chat": chat,
        "error": error,
        "render_answer": render_answer,
        "base_models": [model.name for model in played if not model.can_chat],
        "unservable": [model for model in played if model.reason_not],
        "unknown": [model.name for model in played if not model.is_known],
    }


def form_talk(form: Form, models: list[str]) -> Talk:
    """The conversation of a form: what the script kept in `talk`, then the fields a person sees."""
    if not form.text("talk") and not models:
        raise BadRequest(lazy("talk is missing: which model is asked, and what was said."))
    talk = read_talk(form.text("talk", strip=False)) if form.text("talk") else Talk(models=models)
    changes: dict[str, Any] = {}
    if form.text("mode") in ("chat", "completion"):
        changes["mode"] = form.text("mode")
    if form.has("system"):
        changes["system"] = form.text("system", strip=False)
    params = talk.params.model_dump()
    for name in _NUMBERS:
        if form.has(name):
            params[name] = form.text(name) or (None if name == "seed" else params[name])
    if form.has("stop"):
        params["stop"] = [line for line in form.text("stop", strip=False).splitlines() if line]
    changes["params"] = read_params(params)
    return talk.model_copy(update=changes)


async def post_playground(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """The next turn without script; the page comes once the models have answered."""
    return await _answer_page(request, rt, actor, form, None)


@routes.post("/playground")
async def post_model(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """The next turn, or the task of the model; for scripts that accept lines of JSON, as it comes."""
    repo = await run_in_threadpool(_read_model, request, rt, actor)
    if has_form(repo.pipeline_tag):
        return await answer_task(request, rt, actor, form, repo, _task_page)
    if "application/x-ndjson" in request.headers.get("accept", ""):
        locale = request_locale(request, actor)
        try:
            talk = _next_turn(form_talk(form, [repo.repo_name]), form, is_kept=False)
            return await stream_talk(rt, actor, talk, 0, locale)
        except LlmosError as refusal:
            return refuse(refusal, locale)
    return await _answer_page(request, rt, actor, form, repo)


def _read_model(request: Request, rt: Runtime, actor: Actor) -> Repo:
    with rt.database.reading() as db:
        return _page_model(request, db, actor)


def _next_turn(talk: Talk, form: Form, *, is_kept: bool = True) -> Talk:
    """The conversation with what was written now as its last turn; completion has only one."""
    turns = list(talk.turns) if is_kept and talk.mode == "chat" else []
    text = form.text("text", strip=False)
    if not text.strip():
        raise BadRequest(lazy("Write something for the model first."))
    return talk.model_copy(update={"turns": [*turns, Turn(text=text)]})


async def _answer_page(
    request: Request, rt: Runtime, actor: Actor, form: Form, repo: Repo | None
) -> Response:
    talk = form_talk(form, [repo.repo_name] if repo else [])
    chat, draft, error = form.text("chat")[:24], "", None
    try:
        asked = _next_turn(talk, form)
        columns = range(len(asked.models))
        asked.turns[-1].answers = list(
            await asyncio.gather(*(answer_of(rt, actor, asked, column) for column in columns))
        )
        talk = asked
        chat = await run_in_threadpool(_keep, rt, actor, talk, chat)
    except LlmosError as refusal:
        draft, error = form.text("text", strip=False), refusal

    def page() -> Response:
        with rt.database.reading() as db:
            here = _page_model(request, db, actor) if repo is not None else None
            return _show(request, rt, db, actor, talk, here, chat=chat, draft=draft, error=error)

    return await run_in_threadpool(page)


def _keep(rt: Runtime, actor: Actor, talk: Talk, chat: str) -> str:
    """Keep the conversation of signed-in people; its name, or nothing for visitors."""
    if actor.user_id is None:
        return ""
    with rt.database.writing() as db:
        return keep_chat(db, actor, talk, chat).object_id


def post_keep(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """The script keeps `talk`, under the name in `chat` if it has one: `{"id", "title", "href"}`."""
    locale = request_locale(request, actor)
    try:
        with rt.database.writing() as db:
            kept = keep_chat(db, actor, read_talk(form.text("talk", strip=False)), form.text("chat")[:24])
            answer = {
                "id": kept.object_id,
                "title": kept.title,
                "href": f"/playground/chats/{kept.object_id}",
            }
    except LlmosError as refusal:
        return refuse(refusal, locale)
    return JSONResponse(answer)
