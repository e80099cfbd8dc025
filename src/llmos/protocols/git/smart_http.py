"""Git smart HTTP (gitprotocol-http): raw ASGI, because a push streams in both directions at once.

Inside a streaming response object the server's own listener for disconnects would eat the body.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from llmos.core.errors import Forbidden, LlmosError
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import resolve_actor
from llmos.features.repos.claims import room_bytes
from llmos.features.repos.places import git_path
from llmos.features.repos.policy import access_repo, check_content
from llmos.features.repos.push import record_push
from llmos.features.repos.receive import PushRefused, check_push, check_push_access
from llmos.infra.git.errors import RepositoryMissing
from llmos.infra.git.stale_locks import clear_stale_locks
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import get_runtime, run_read
from llmos.protocols.git.child import (
    GitChild,
    background,
    end_response,
    git_child,
    refusal_of,
    start_response,
)
from llmos.protocols.git.hooks import HookCall, HookLine, hook_folder, hook_line

Service = Literal["git-upload-pack", "git-receive-pack"]
SERVICES: tuple[Service, ...] = ("git-upload-pack", "git-receive-pack")
FETCH_BODY_LIMIT_BYTES = 64 * 1024 * 1024
_PROTOCOL = re.compile(r"version=[0-2]\Z")
# Large blobs are copied rather than compressed against each other, and work memory is bounded.
_LIMITS = (
    "-c", "core.bigFileThreshold=8m",
    "-c", "pack.windowMemory=64m",
    "-c", "pack.deltaCacheSize=64m",
)  # fmt: skip
# Old but harmless flaws of real histories that would otherwise make them impossible to push.
_LENIENT = (
    "-c", "receive.fsck.badTimezone=ignore",
    "-c", "receive.fsck.missingSpaceBeforeDate=ignore",
    "-c", "receive.fsck.zeroPaddedFilemode=ignore",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GitTarget:
    """A repository the actor may use with the service asked for."""

    rt: Runtime
    actor: Actor
    repo_id: int
    path: Path
    room_bytes: int | None


async def _open_target(request: Request, repo_type: RepoType, service: Service) -> GitTarget:
    rt = get_runtime(request)
    actor = await resolve_actor(rt, request)
    namespace = request.path_params["namespace"]
    name = request.path_params["name"].removesuffix(".git")

    def access(db: Session) -> GitTarget:
        repo = access_repo(db, actor, repo_type, namespace, name)
        check_content(db, actor, repo)
        room = None
        if service == "git-receive-pack":
            check_push_access(db, actor, repo)
            room = room_bytes(db, rt.settings, repo.namespace)
        return GitTarget(rt, actor, repo.id, git_path(rt, repo), room)

    target = await run_read(rt, access)
    if not (target.path / "HEAD").is_file():
        raise RepositoryMissing("The git data of this repository cannot be found: tell the operator.")
    return target


def _protocol(request: Request) -> str | None:
    """The one value of `Git-Protocol` that means something to git; anything else is left out."""
    asked = request.headers.get("git-protocol", "").split(":")
    return next((value for value in asked if _PROTOCOL.match(value)), None)


def _git_arguments(target: GitTarget, service: Service, *options: str) -> list[str]:
    settings = [*_LIMITS]
    if service == "git-receive-pack":
        settings += [*_LENIENT, "-c", f"core.hooksPath={hook_folder(target.rt)}"]
        if target.room_bytes is not None:
            # 0 would mean no limit to git.
            settings += ["-c", f"receive.maxInputSize={max(target.room_bytes, 1)}"]
    return [*settings, service.removeprefix("git-"), "--stateless-rpc", *options, str(target.path)]


class InfoRefs:
    """`GET …/info/refs?service=…`: what the other side has, and what it can do."""

    def __init__(self, repo_type: RepoType) -> None:
        self._repo_type = repo_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        service = _wanted_service(request.query_params.get("service"))
        target = await _open_target(request, self._repo_type, service)
        protocol = _protocol(request)
        announce = f"# service={service}\n".encode()
        prefix = b"%04x%s0000" % (len(announce) + 4, announce)
        if protocol == "version=2" and service == "git-upload-pack":
            prefix = b""
        arguments = _git_arguments(target, service, "--advertise-refs")
        async with git_child(arguments, protocol=protocol) as child:
            if not await child.relay(send, f"application/x-{service}-advertisement", prefix):
                await child.process.wait()
                raise RepositoryMissing("The refs of this repository cannot be read: tell the operator.")
            await end_response(send)


def _wanted_service(service: str | None) -> Service:
    for known in SERVICES:
        if service == known:
            return known
    if service is None:
        raise Forbidden("This server speaks smart HTTP only: use git 1.6.6 or newer.")
    raise Forbidden(f"service {service[:50]!r} is not offered: use git clone, fetch or push.")


class Rpc:
    """`POST …/git-upload-pack` and `…/git-receive-pack`: one exchange of a fetch or push."""

    def __init__(self, repo_type: RepoType, service: Service) -> None:
        self._repo_type = repo_type
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        target = await _open_target(request, self._repo_type, self._service)
        gzipped = _check_headers(request, self._service)
        wire = Wire(receive, send, self._service, gzipped)
        if self._service == "git-upload-pack":
            arguments = _git_arguments(target, self._service)
            async with git_child(arguments, protocol=_protocol(request)) as child:
                await _exchange(child, wire)
            return
        arguments = await run_in_threadpool(_git_arguments, target, self._service)
        async with (
            hook_line() as line,
            git_child(
                arguments,
                protocol=_protocol(request),
                environment=line.environment,
                pass_fds=line.pass_fds,
                ends_on_eof=True,
            ) as child,
        ):
            line.close_child_ends()
            await _receive_pack(target, child, line, wire)


def _check_headers(request: Request, service: Service) -> bool:
    """Whether the body is gzipped; refuses what is not a request of git."""
    expected = f"application/x-{service}-request"
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != expected:
        raise LlmosError(f"Content-Type must be {expected}.", status=415, code="UnsupportedMediaType")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise LlmosError("Content-Encoding must be gzip or absent.", status=415, code="UnsupportedMediaType")
    return encoding != "identity"


@dataclass(frozen=True, slots=True)
class Wire:
    """The client's side of one exchange."""

    receive: Receive
    send: Send
    service: Service
    gzipped: bool


async def _exchange(child: GitChild, wire: Wire) -> None:
    """Stream both ways until git has ended; whatever goes wrong with the body stops git."""
    limit_bytes = FETCH_BODY_LIMIT_BYTES if wire.service == "git-upload-pack" else None
    async with background(child.feed(wire.receive, gzipped=wire.gzipped, limit_bytes=limit_bytes)) as feed:
        feed.add_done_callback(lambda task: _stop_on_failure(task, child))
        media_type = f"application/x-{wire.service}-result"
        has_started = await child.relay(wire.send, media_type)
        await child.process.wait()
        if feed.done() and (failure := feed.exception()):
            raise failure
        if not has_started:
            if child.process.returncode != 0:
                raise refusal_of(child)
            # Before a large push git probes with an empty request, which has an empty answer.
            await start_response(wire.send, media_type)
        await end_response(wire.send)


def _stop_on_failure(task: asyncio.Task[None], child: GitChild) -> None:
    if not task.cancelled() and task.exception() is not None and not child.is_committed:
        child.stop()


async def _receive_pack(target: GitTarget, child: GitChild, line: HookLine, wire: Wire) -> None:
    async def answer(call: HookCall) -> None:
        if call.name == "pre-receive":
            await run_in_threadpool(
                check_push, target.rt, target.actor, target.repo_id, call.updates, call.quarantine
            )
            refs = [update.ref for update in call.updates]
            await run_in_threadpool(clear_stale_locks, target.path, refs)
            if child.is_stopping:
                raise PushRefused("The client went away before the push was accepted.")
            # From here on refs move: the push is finished even if the client does not wait.
            child.is_committed = True
        else:
            await run_in_threadpool(record_push, target.rt, target.actor, target.repo_id, call.updates)

    async with background(line.serve(answer)) as hooks:
        hooks.add_done_callback(lambda task: _stop_on_failure(task, child))
        failure: Exception | None = None
        try:
            await _exchange(child, wire)
        except (ClientDisconnect, LlmosError) as error:
            failure = error
        if hooks.done() and (broken := hooks.exception()):
            raise broken
        if failure is not None:
            raise failure


def git_routes() -> list[BaseRoute]:
    """Routes of every repository type, with and without `.git`."""
    routes: list[BaseRoute] = []
    for repo_type in RepoType:
        base = f"/{repo_type.url_prefix}{{namespace:seg}}/{{name:seg}}"
        routes.append(Route(f"{base}/info/refs", InfoRefs(repo_type), methods=["GET"]))
        for service in SERVICES:
            routes.append(Route(f"{base}/{service}", Rpc(repo_type, service), methods=["POST"]))
    return routes
