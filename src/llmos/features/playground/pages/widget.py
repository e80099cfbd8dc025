"""The form of a model's task: beside its card, on its playground, in a frame of another site."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from llmos.core.errors import LlmosError
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.auth.page_context import page_context, render_page, request_locale
from llmos.features.endpoints.calls import CallStream, ask
from llmos.features.endpoints.servable import describe_servable
from llmos.features.playground.asking import frames_of, result_of
from llmos.features.playground.pages.door import FrameStream, refuse, served_frame
from llmos.features.playground.tasks import (
    View,
    examples_of,
    form_of,
    has_form,
    length_of,
    prompts_of,
    task_call,
    view_of,
)
from llmos.features.playground.workspace import HINTS, WORDS, WRITERS
from llmos.features.repos.models import Repo, RepoFacts
from llmos.features.repos.pages.labels import task_label
from llmos.features.repos.pages.repo import CardPanel
from llmos.features.repos.pages.routes import repo_href
from llmos.infra.i18n import Locale, localize
from llmos.infra.runtime import Runtime
from llmos.infra.web.forms import Form
from llmos.ui.render import render

# Of a vector, so many numbers are drawn.
MAX_DRAWN = 128
_WIDGET_WORDS = (
    *("asking", "queued", "place", "scheduled", "fetching", "starting", "import", "load", "warm"),
    *("reading", "seconds", "lost", "failed", "stop", "stopped"),
)
PageMaker = Callable[[Request, Runtime, Session, Actor, Repo], dict[str, Any]]


def card_panel(db: Session, rt: Runtime, actor: Actor, repo: Repo, locale: Locale) -> CardPanel | None:
    """The form beside the card of a model that does something people can try."""
    if repo.repo_type is not RepoType.MODEL:
        return None
    if not has_form(repo.pipeline_tag) and repo.pipeline_tag not in WRITERS:
        return None
    widget = widget_context(db, rt, repo, locale)
    return CardPanel("playground/_widget.html", {"widget": widget}, "playground/widget.js")


def mask_of(facts: RepoFacts | None) -> str:
    """The token that stands for a missing word."""
    tokens = ((facts.config or {}).get("tokenizer_config") or {}) if facts else {}
    mask = tokens.get("mask_token") if isinstance(tokens, dict) else None
    if isinstance(mask, dict):
        mask = mask.get("content")
    return mask if isinstance(mask, str) and mask else "[MASK]"


def widget_context(
    db: Session, rt: Runtime, repo: Repo, locale: Locale, *, is_large: bool = False
) -> dict[str, Any]:
    """What `_widget.html` shows; `values` and `view` are those of an answer, where there is one."""
    facts = db.get(RepoFacts, repo.id)
    found = describe_servable(db, rt, repo)
    task = repo.pipeline_tag or "text-generation"
    is_writer = not has_form(task)
    mask = mask_of(facts)
    card = facts.card if facts else {}
    return {
        "task": task,
        "title": task_label(task, locale),
        "name": repo.repo_name,
        "action": f"{repo_href(repo)}/playground",
        "is_large": is_large,
        "is_writer": is_writer,
        "is_chat": is_writer and found.has_chat_template,
        "is_public": not repo.is_private,
        "reason_not": found.reason_not or "",
        "asks": [] if is_writer else form_of(task),
        "mask": mask if task == "fill-mask" else "",
        "examples": [] if is_writer else examples_of(task, card, mask),
        "prompts": prompts_of(card) if is_writer else [],
        "values": {},
        "view": None,
        "error": None,
        "words": {
            "words": {key: localize(WORDS[key], locale) for key in _WIDGET_WORDS},
            "hints": {key: localize(text, locale) for key, text in HINTS.items()},
        },
    }


def task_context(task: str, values: dict[str, str], result: Any) -> dict[str, Any]:
    """What `_result.html` shows."""
    view = view_of(task, values, result)
    return {"view": view, "length": length_of(view.vector), "drawn": _drawn(view)}


def _drawn(view: View) -> list[tuple[int, float, float, bool]]:
    """The first numbers of a vector as bars: place, top, height (of 100), whether it is negative."""
    shown = view.vector[:MAX_DRAWN]
    largest = max((abs(number) for number in shown), default=0.0) or 1.0
    bars = []
    for place, number in enumerate(shown):
        height = round(48 * abs(number) / largest, 2)
        bars.append((place, 50.0 if number < 0 else 50 - height, height, number < 0))
    return bars


async def answer_task(
    request: Request, rt: Runtime, actor: Actor, form: Form, repo: Repo, page: PageMaker
) -> Response:
    """The answer to a filled-in form: as lines of JSON for scripts, else as a whole page."""
    if "application/x-ndjson" in request.headers.get("accept", ""):
        try:
            return await script_answer(request, rt, actor, form, repo)
        except LlmosError as refusal:
            return refuse(refusal, request_locale(request, actor))
    task, values = repo.pipeline_tag or "", _values(form, repo)
    try:
        call = task_call(task, values, await run_in_threadpool(_mask, rt, repo))
        found = task_context(task, values, await result_of(rt, actor, repo.repo_name, call, task))
        shown, status = {"values": values, **found}, 200
    except LlmosError as refusal:
        shown, status = {"values": values, "error": refusal}, refusal.status

    def whole_page() -> Response:
        with rt.database.reading() as db:
            context = page(request, rt, db, actor, repo)
            context["widget"] = {**context["widget"], **shown}
            return render_page(request, actor, "playground/task.html", context, status=status)

    return await run_in_threadpool(whole_page)


async def script_answer(request: Request, rt: Runtime, actor: Actor, form: Form, repo: Repo) -> Response:
    """The answer to a filled-in form as it comes. Raises what refuses the call."""
    task, values = repo.pipeline_tag or "", _values(form, repo)
    call = task_call(task, values, await run_in_threadpool(_mask, rt, repo))
    stream = await ask(rt, actor, repo.repo_name, call, task=task)
    return FrameStream(_with_html(request, actor, stream, task, values))


def _values(form: Form, repo: Repo) -> dict[str, str]:
    return {asked.name: form.text(asked.name, strip=False) for asked in form_of(repo.pipeline_tag or "")}


def _mask(rt: Runtime, repo: Repo) -> str:
    if repo.pipeline_tag != "fill-mask":
        return ""
    with rt.database.reading() as db:
        return mask_of(db.get(RepoFacts, repo.id))


async def _with_html(
    request: Request, actor: Actor | None, stream: CallStream, task: str, values: dict[str, str]
) -> AsyncGenerator[dict[str, Any], None]:
    """The frames of a task, its result as HTML."""
    has_said = False
    async with aclosing(frames_of(stream)) as frames:
        async for frame in frames:
            if not has_said and stream.served is not None:
                has_said = True
                yield served_frame(stream.served)
            if frame["event"] == "result":
                context = task_context(task, values, frame["result"])
                html = render("playground/_result.html", context, page_context(request, actor))
                yield {"event": "html", "html": html}
            else:
                yield frame
