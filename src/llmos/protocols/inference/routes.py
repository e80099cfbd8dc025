"""Addresses of the inference API: a model's own, and the same below `/hf-inference`.

`/models/{ns}/{name}` is what a client posts a task to, `…/pipeline/{task}` names the task, and
`…/v1/…` is OpenAI's API for this one model, which the client asks for chats.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.endpoints.calls import Servable, ask, describe_servable
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import access_repo
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep, run_read
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.routing import add_router
from llmos.protocols.inference.tasks import known_task, read_inputs, task_call, task_of
from llmos.protocols.inference.text_generation import GenerationWriter, generation_json, read_generation
from llmos.protocols.openai import routes as openai
from llmos.protocols.openai.calls import collect_for
from llmos.protocols.openai.fields import read_object
from llmos.protocols.openai.sse import EventAnswer

router = Router(tags=["inference"])
# The same behind the name of the Hub's own provider, for clients whose router was set to this host.
PREFIXES = ("", "/hf-inference")
MODEL = "/models/{namespace:seg}/{name:seg}"


async def post_model(
    request: Request, rt: RuntimeDep, actor: ActorDep, namespace: str, name: str
) -> Response:
    """The Hub's inference API: `{"inputs", "parameters"}` for the model's own task."""
    own = await run_read(rt, lambda db: _find(db, rt, actor, namespace, name)[1].task)
    return await _run(request, rt, actor, f"{namespace}/{name}", own or "text-generation", is_told=False)


async def post_pipeline(
    *, request: Request, rt: RuntimeDep, actor: ActorDep, namespace: str, name: str, task: str
) -> Response:
    """The Hub's inference API: `{"inputs", "parameters"}` for the task the address names."""
    return await _run(request, rt, actor, f"{namespace}/{name}", known_task(task), is_told=True)


async def _run(
    request: Request, rt: Runtime, actor: Actor, model: str, task: str, *, is_told: bool
) -> Response:
    data = await read_object(request)
    inputs, parameters = read_inputs(data)
    if not is_told:
        task = task_of(inputs, parameters, task)
    if task == "text-generation":
        return await _generate(request, rt, actor, model, data)
    stream = await ask(rt, actor, model, task_call(task, inputs, parameters), task=task)
    found = await collect_for(request, stream)
    return openai.answer(found.result, found.served)


async def _generate(
    request: Request, rt: Runtime, actor: Actor, model: str, data: dict[str, Any]
) -> Response:
    asked = read_generation(data)
    stream = await ask(rt, actor, model, asked.call, task="text-generation")
    if asked.is_stream:
        return EventAnswer(stream, GenerationWriter(asked))
    found = await collect_for(request, stream)
    return openai.answer(generation_json(asked, found), found.served)


def _find(db: Session, rt: Runtime, actor: Actor, namespace: str, name: str) -> tuple[Repo, Servable]:
    repo = access_repo(db, actor, RepoType.MODEL, namespace, name.partition("@")[0])
    return repo, describe_servable(db, rt, repo)


def get_info(rt: RuntimeDep, db: ReadDb, actor: ActorDep, namespace: str, name: str) -> Response:
    """What the model is and whether it can be served, for `InferenceClient.get_endpoint_info`."""
    repo, servable = _find(db, rt, actor, namespace, name)
    facts = {
        "model_id": repo.repo_name,
        "model_sha": repo.head_oid,
        "model_pipeline_tag": servable.task,
        "engine": servable.engine,
        "memory_bytes": servable.memory_bytes,
        "reason_not": servable.reason_not,
    }
    return openai.answer(facts)


def get_health(rt: RuntimeDep, db: ReadDb, actor: ActorDep, namespace: str, name: str) -> Response:
    """200 where the model can be served (it starts with the first call), 503 where not."""
    _, servable = _find(db, rt, actor, namespace, name)
    return Response(status_code=503 if servable.reason_not else 200)


_Answer = Callable[[Request, Runtime, Actor, str | None], Awaitable[Response]]


def _for_model(answer: _Answer, what: str) -> Callable[..., Awaitable[Response]]:
    async def post(request: Request, rt: RuntimeDep, actor: ActorDep, namespace: str, name: str) -> Response:
        return await answer(request, rt, actor, f"{namespace}/{name}")

    post.__name__ = f"post_model_{what}"
    post.__doc__ = f"OpenAI's {what} for this model, whatever `model` says."
    return post


_OPENAI: dict[str, _Answer] = {
    "chat/completions": openai.chat,
    "completions": openai.completions,
    "responses": openai.responses,
    "embeddings": openai.embeddings,
}

for _prefix in PREFIXES:
    _seen = not _prefix
    for _path, _answer in _OPENAI.items():
        _post = _for_model(_answer, _path.replace("/", "_"))
        router.add_api_route(f"{_prefix}{MODEL}/v1/{_path}", _post, methods=["POST"], include_in_schema=_seen)
    router.add_api_route(f"{_prefix}{MODEL}", post_model, methods=["POST"], include_in_schema=_seen)
    router.add_api_route(
        f"{_prefix}{MODEL}/pipeline/{{task:seg}}", post_pipeline, methods=["POST"], include_in_schema=_seen
    )
    router.add_api_route(f"{_prefix}{MODEL}/info", get_info, methods=["GET"], include_in_schema=_seen)
    router.add_api_route(f"{_prefix}{MODEL}/health", get_health, methods=["GET"], include_in_schema=_seen)


def add_inference_routes(app: FastAPI) -> None:
    add_router(app, router)
