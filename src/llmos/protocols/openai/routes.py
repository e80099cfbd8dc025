"""Every address of OpenAI's API, also below the address of one model (`/models/{ns}/{name}/v1/…`)."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import FastAPI, Request
from starlette.responses import Response

from llmos.core.errors import NotFound
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.endpoints.calls import Served, ask
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.routing import add_router
from llmos.protocols.openai.calls import AnyCall, ManyCalls, collect_for, served_headers
from llmos.protocols.openai.chat import ChatWriter, chat_json, read_chat
from llmos.protocols.openai.completions import CompletionWriter, completion_json, read_completion
from llmos.protocols.openai.embeddings import embeddings_json, read_embeddings
from llmos.protocols.openai.fields import read_object
from llmos.protocols.openai.models import access_model, list_models
from llmos.protocols.openai.response_events import ResponseWriter
from llmos.protocols.openai.responses import read_response, whole_response
from llmos.protocols.openai.sse import EventAnswer

router = Router(tags=["openai"])


def answer(value: Any, served: Served | None = None) -> Response:
    return Response(orjson.dumps(value), 200, served_headers(served), media_type="application/json")


@router.post("/v1/chat/completions")
async def post_chat(request: Request, rt: RuntimeDep, actor: ActorDep) -> Response:
    """OpenAI's chat completions: `messages` in, one or `n` answers out, with `stream` token by token."""
    return await chat(request, rt, actor)


async def chat(request: Request, rt: Runtime, actor: Actor, model: str | None = None) -> Response:
    asked = read_chat(await read_object(request), model)
    stream = await ask(rt, actor, asked.model, asked.call, task="text-generation")
    if asked.is_stream:
        return EventAnswer(stream, ChatWriter(asked))
    found = await collect_for(request, stream, asked.choices)
    return answer(chat_json(asked, found), found.served)


@router.post("/v1/completions")
async def post_completions(request: Request, rt: RuntimeDep, actor: ActorDep) -> Response:
    """OpenAI's completions: go on with a `prompt`; with `echo` and `logprobs`, score it."""
    return await completions(request, rt, actor)


async def completions(request: Request, rt: Runtime, actor: Actor, model: str | None = None) -> Response:
    asked = read_completion(await read_object(request), model)
    calls = asked.calls
    first = await ask(rt, actor, asked.model, calls[0], task="text-generation")
    stream: AnyCall = first
    if len(calls) > 1:
        stream = ManyCalls(rt, actor, asked.model, calls, choices=asked.choices, first=first)
    if asked.is_stream:
        return EventAnswer(stream, CompletionWriter(asked))
    found = await collect_for(request, stream, len(calls) * asked.choices)
    return answer(completion_json(asked, found), found.served)


@router.post("/v1/responses")
async def post_responses(request: Request, rt: RuntimeDep, actor: ActorDep) -> Response:
    """OpenAI's responses. Nothing is stored: `store` is taken for false, earlier items must be sent again."""
    return await responses(request, rt, actor)


async def responses(request: Request, rt: Runtime, actor: Actor, model: str | None = None) -> Response:
    asked = read_response(await read_object(request), model)
    stream = await ask(rt, actor, asked.model, asked.call, task="text-generation")
    if asked.is_stream:
        return EventAnswer(stream, ResponseWriter(asked))
    found = await collect_for(request, stream)
    return answer(whole_response(asked, found), found.served)


@router.api_route("/v1/responses/{response_id:rest}", methods=["GET", "POST", "DELETE"])
def any_response(actor: ActorDep, response_id: str) -> None:
    """404: no response is kept."""
    raise NotFound(f"There is no response {response_id[:100]!r}: responses are not stored here.")


@router.post("/v1/embeddings")
async def post_embeddings(request: Request, rt: RuntimeDep, actor: ActorDep) -> Response:
    """OpenAI's embeddings: a vector for each text of `input`."""
    return await embeddings(request, rt, actor)


async def embeddings(request: Request, rt: Runtime, actor: Actor, model: str | None = None) -> Response:
    asked = read_embeddings(await read_object(request), model)
    results, served = [], None
    for call in asked.calls:
        stream = await ask(rt, actor, asked.model, call, task="feature-extraction")
        found = await collect_for(request, stream)
        results.append(found.result)
        served = found.served
    return answer(embeddings_json(asked, results), served)


@router.get("/v1/models")
def get_models(rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """What is deployed and may be called, ready models first."""
    return answer({"object": "list", "data": list_models(db, rt, actor)})


@router.get("/v1/models/{model:rest}")
def get_model(rt: RuntimeDep, db: ReadDb, actor: ActorDep, model: str) -> Response:
    """One model; also one that would start with the first call."""
    return answer(access_model(db, rt, actor, model))


def add_openai_routes(app: FastAPI) -> None:
    add_router(app, router)
