"""What one does with a conversation: look into it, take it along as code, share it, discuss it."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from fastapi import Request
from starlette.responses import Response

from llmos.core.errors import BadRequest, LlmosError, NotFound
from llmos.core.repo_types import RepoType
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.discussions.pages.opening import discussion_form
from llmos.features.discussions.policy import check_can_open
from llmos.features.discussions.texts import MAX_TITLE_CHARS
from llmos.features.playground.asking import result_of, tokenize_call
from llmos.features.playground.pages.door import read_ask, refuse
from llmos.features.playground.pages.play import form_talk
from llmos.features.playground.schemas import Talk, Turn
from llmos.features.playground.snippets import snippets_of
from llmos.features.playground.talks import (
    access_share,
    delete_chat,
    list_chats,
    list_shares,
    rename_chat,
    revoke_share,
    share_talk,
)
from llmos.features.repos.policy import access_repo
from llmos.infra.i18n import lazy, localize
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.forms import Form
from llmos.infra.web.urls import base_url
from llmos.ui.filters import with_query

MAX_EXPLAINED = 2048
MAX_QUOTE_CHARS = 12_000


async def post_explain(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Why a token was written: `ids` are those of the answer up to and with it.

    Answers `{"prompt_count", "result"}`, the result that of `wire.serving.Explain`.
    """
    locale = request_locale(request, actor)
    try:
        talk, column = read_ask(form)
        ids = _read_ids(form)
        model = talk.models[column]
        read = await result_of(rt, actor, model, tokenize_call(talk, column), "text-generation")
        prompt = [int(token["id"]) for token in read["tokens"]]
        whole = [*prompt, *ids]
        # What is too long is cut at its beginning: the end is what matters most.
        cut = max(0, len(whole) - MAX_EXPLAINED)
        call = {"call": "explain", "ids": whole[cut:], "position": len(whole) - cut - 1}
        result = await result_of(rt, actor, model, call, "text-generation")
    except LlmosError as refusal:
        return refuse(refusal, locale)
    body = await asyncio.to_thread(
        orjson.dumps, {"prompt_count": max(0, len(prompt) - cut), "result": result}
    )
    return Response(body, headers={"Cache-Control": "no-store"}, media_type="application/json")


def _read_ids(form: Form) -> list[int]:
    try:
        ids = orjson.loads(form.text("ids", "[]"))
    except orjson.JSONDecodeError:
        ids = None
    if not isinstance(ids, list) or not ids or len(ids) > 100_000:
        raise BadRequest(lazy("ids must be a list of the numbers of tokens."))
    if not all(isinstance(one, int) and 0 <= one < 2**31 for one in ids):
        raise BadRequest(lazy("ids must be a list of the numbers of tokens."))
    return ids


def post_code(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Programs that ask the same; a part of the page for scripts."""
    talk = form_talk(form, [])
    draft = form.text("text", strip=False)
    if draft.strip():
        talk = talk.model_copy(update={"turns": [*talk.turns, Turn(text=draft)]})
    address = base_url(request, rt.settings)
    groups = [(name, snippets_of(talk, column, address)) for column, name in enumerate(talk.models)]
    is_part = bool(request.headers.get("hx-request"))
    template = "playground/_code.html" if is_part else "playground/code.html"
    return render_page(request, actor, template, {"groups": groups})


def post_share(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Make a public link to the conversation as it is now, and show it."""
    if actor.user_id is None:
        return redirect_page(request, "/login?next=/playground")
    share = share_talk(db, actor, form_talk(form, []), form.text("title"))
    return redirect_page(
        request, f"/playground/s/{share.secret}", lazy("Whoever has the address of this page can read it.")
    )


def share_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, secret: str) -> Response:
    """A conversation as it was when it was shared; no search engine is to know it."""
    from llmos.features.playground.asking import render_answer

    share = access_share(db, secret)
    talk = Talk.model_validate(share.talk)
    context = {
        "share": share,
        "talk": talk,
        "address": f"{base_url(request, rt.settings)}/playground/s/{share.secret}",
        "is_mine": share.user_id == actor.user_id or actor.is_admin,
        "try_href": with_query("/playground", dict(zip(("model", "with"), talk.models, strict=False))),
        "render_answer": render_answer,
    }
    response = render_page(request, actor, "playground/share.html", context)
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def post_shared(request: Request, db: WriteDb, actor: ActorDep, form: PageForm, secret: str) -> Response:
    """`action` revoke: the link shows nothing any more."""
    if actor.user_id is None:
        return redirect_page(request, "/login?next=/playground")
    if form.text("action") != "revoke":
        raise BadRequest(lazy("There is no such action."))
    revoke_share(db, actor, secret)
    return redirect_page(request, "/playground/chats", lazy("The link is revoked."))


def chats_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """Kept conversations and links to them."""
    if actor.user_id is None:
        return redirect_to_login(request)
    cursor = request.query_params.get("cursor")
    page = list_chats(db, actor, cursor=cursor)
    context: dict[str, Any] = {
        "chats": page.items,
        "next_href": with_query("/playground/chats", {"cursor": page.next_cursor})
        if page.next_cursor
        else None,
        "shares": list_shares(db, actor) if not cursor else [],
    }
    return render_page(request, actor, "playground/chats.html", context)


def post_chat(request: Request, db: WriteDb, actor: ActorDep, form: PageForm, chat: str) -> Response:
    """`action`: rename (with `title`) or delete."""
    if actor.user_id is None:
        return redirect_page(request, "/login?next=/playground/chats")
    action = form.text("action")
    if action == "rename":
        rename_chat(db, actor, chat, form.text("title"))
        return redirect_page(request, "/playground/chats", lazy("The conversation has a new title."))
    if action == "delete":
        delete_chat(db, actor, chat)
        return redirect_page(request, "/playground/chats", lazy("The conversation is deleted."), "info")
    raise BadRequest(lazy("There is no such action."))


def post_discuss(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, form: PageForm) -> Response:
    """The form for a new discussion of the first model, with the last exchange quoted."""
    talk = form_talk(form, [])
    owner, _, name = talk.models[0].partition("@")[0].partition("/")
    if not name or "\0" in owner + name or len(owner) + len(name) > 200:
        raise NotFound(lazy("Only models on this instance can be discussed here."))
    repo = access_repo(db, actor, RepoType.MODEL, owner, name)
    if actor.user_id is None:
        return redirect_page(request, f"/login?next=/{repo.repo_name}/playground")
    check_can_open(db, actor, repo)
    if not talk.turns:
        raise BadRequest(lazy("There is nothing to discuss yet: write to the model first."))
    locale = request_locale(request, actor)
    title = talk.title()[:MAX_TITLE_CHARS]
    heads = {
        key: localize(text, locale)
        for key, text in {
            "asked": lazy("I asked"),
            "answered": lazy("%(model)s answered", model="{model}"),
            "with": lazy("In the playground, with %(values)s.", values="{values}"),
        }.items()
    }
    values = {"title": title, "text": quote_talk(talk, heads)}
    return discussion_form(request, rt, db, actor, repo, values)


def quote_talk(talk: Talk, heads: dict[str, str]) -> str:
    """The last exchange as Markdown; `heads` are the words between, in the reader's language."""
    last = talk.turns[-1]
    parts = []
    if talk.mode == "chat" and talk.system.strip():
        parts.append(f"**system**\n\n{_quoted(talk.system)}")
    parts.append(f"**{heads['asked']}**\n\n{_quoted(last.text)}")
    for name, answer in zip(talk.models, last.answers, strict=False):
        if answer is not None:
            revision = f" `{answer.revision[:7]}`" if answer.revision else ""
            head = heads["answered"].replace("{model}", name)
            parts.append(f"**{head}**{revision}\n\n{_quoted(answer.text)}")
    params = talk.params
    values = f"temperature {params.temperature:g}, top_p {params.top_p:g}, max_tokens {params.max_tokens}"
    parts.append(heads["with"].replace("{values}", values))
    return "\n\n".join(parts) + "\n\n"


def _quoted(text: str) -> str:
    shown = text[:MAX_QUOTE_CHARS] + ("…" if len(text) > MAX_QUOTE_CHARS else "")
    return "\n".join(f"> {line}".rstrip() for line in shown.strip().splitlines())
