"""Shared by the LFS routes: finding the repository, reading JSON, answering in the LFS media type."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest, NotFound, Unprocessable
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import access_repo
from llmos.infra.runtime import Runtime
from llmos.infra.web.bodies import read_body
from llmos.infra.web.deps import RuntimeDep, run_read
from llmos.infra.web.lazy_routes import Router

MEDIA_TYPE = "application/vnd.git-lfs+json"
JSON_LIMIT_BYTES = 1024 * 1024
M = TypeVar("M", bound="LfsMessage")


class LfsMessage(BaseModel):
    """Base of what clients send; unknown fields pass, values are not converted."""

    model_config = ConfigDict(extra="ignore", strict=True)


class LfsRef(LfsMessage):
    name: str


class VerifyRequest(LfsMessage):
    oid: str
    size: int


def check_verified(asked: VerifyRequest, size_bytes: int | None) -> Response:
    """The answer to verify: `size_bytes` is what the repository has, None for nothing."""
    if size_bytes is None:
        raise NotFound("oid: this object was not uploaded to this repository.")
    if size_bytes != asked.size:
        raise Unprocessable(f"size: the object is {size_bytes} bytes long, not {asked.size}.")
    return lfs_response({"oid": asked.oid, "size": size_bytes})


def lfs_response(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type=MEDIA_TYPE)


async def read_message(request: Request, model: type[M]) -> M:
    """The JSON body; BadRequest where it is not JSON, Unprocessable naming the field, TooLarge."""
    raw = await read_body(request.receive, limit_bytes=JSON_LIMIT_BYTES)
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequest("The body is not valid JSON.") from error
    if not isinstance(data, dict):
        raise BadRequest("The body must be a JSON object.")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Unprocessable(f"{field}: {first['msg']}.") from error


@dataclass(frozen=True, slots=True)
class LfsCall:
    """One request to the LFS API of a repository, whoever sends it."""

    request: Request
    rt: Runtime
    actor: Actor
    repo_type: RepoType
    namespace: str
    name: str

    def repo(self, db: Session) -> Repo:
        """The repository, if the actor may see it; git-lfs writes its name with `.git`."""
        return access_repo(db, self.actor, self.repo_type, self.namespace, self.name.removesuffix(".git"))

    async def check_visible(self) -> None:
        """Refuse who may not see the repository before a byte of the body is read."""
        await run_read(self.rt, self.repo)


Handler = Callable[[LfsCall], Awaitable[Response]]


def _endpoint(handler: Handler, repo_type: RepoType) -> Callable[..., Awaitable[Response]]:
    async def endpoint(
        request: Request, rt: RuntimeDep, actor: ActorDep, namespace: str, name: str
    ) -> Response:
        return await handler(LfsCall(request, rt, actor, repo_type, namespace, name))

    return endpoint


def add_lfs_route(router: Router, method: str, rest: str, handler: Handler) -> None:
    """Offer a call below `…/info/lfs` of every type of repository."""
    for repo_type in RepoType:
        path = f"/{repo_type.url_prefix}{{namespace:seg}}/{{name:seg}}/info/lfs{rest}"
        router.add_api_route(path, _endpoint(handler, repo_type), methods=[method])
