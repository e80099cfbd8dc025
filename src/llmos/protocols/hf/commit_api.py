"""Hub protocol: `commit`, streamed in as newline-delimited JSON."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from llmos.core.errors import BadRequest, LlmosError, TooLarge
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.repos.commit_targets import CommitTarget, open_target
from llmos.features.repos.commits import CommitDraft, CommitResult
from llmos.infra.runtime import Runtime
from llmos.infra.web.bodies import iter_body
from llmos.infra.web.deps import RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url
from llmos.protocols.hf.ndjson import CommitReader
from llmos.protocols.hf.target import REPO_API, TargetDep
from llmos.protocols.hf.tree import json_response

router = Router(tags=["content"])
log = logging.getLogger(__name__)

BATCH_BYTES = 512 * 1024
DRAIN_BYTES = 32 * 1024 * 1024


@router.post(REPO_API + "/commit/{rev:rest}")
async def post_commit(
    request: Request,
    rt: RuntimeDep,
    actor: ActorDep,
    target: TargetDep,
    rev: str,
    create_pr: bool = False,
) -> Response:
    """One commit of any number of files. Nothing is visible, and no lock held, until all has come."""

    def place() -> CommitTarget:
        with rt.database.reading() as db:
            return open_target(db, rt, actor, *target.names, rev, create_pr=create_pr)

    goal = await run_in_threadpool(place)
    _check_length(request, rt.settings.commit_body_limit_bytes)
    result = await _receive(request, rt, actor, goal)
    return json_response(_answer(request, rt, goal, result))


def _check_length(request: Request, limit_bytes: int) -> None:
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal():
        raise BadRequest("Content-Length must be a whole number of bytes.")
    if len(announced) > 18 or int(announced) > limit_bytes:
        raise _too_large(limit_bytes)


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"The commit is larger than {limit_bytes} bytes: split it into several.")


async def _receive(request: Request, rt: Runtime, actor: Actor, goal: CommitTarget) -> CommitResult:
    body = iter_body(request.receive)
    with await run_in_threadpool(CommitDraft, rt, actor, goal) as draft:
        reader = CommitReader(draft, rt.settings.regular_file_limit_bytes)
        pending, total = bytearray(), 0
        try:
            async for piece in body:
                total += len(piece)
                if total > rt.settings.commit_body_limit_bytes:
                    raise _too_large(rt.settings.commit_body_limit_bytes)
                pending += piece
                if len(pending) >= BATCH_BYTES:
                    batch, pending = bytes(pending), bytearray()
                    await run_in_threadpool(reader.feed, batch)
            if pending:
                await run_in_threadpool(reader.feed, bytes(pending))
            await run_in_threadpool(reader.finish)
            return await run_in_threadpool(draft.finish)
        except LlmosError:
            # A client that is still sending would see a broken connection instead of the answer.
            left = DRAIN_BYTES
            try:
                async for piece in body:
                    left -= len(piece)
                    if left < 0:
                        break
            except (ClientDisconnect, LlmosError):
                log.debug("client went away while its commit was refused")
            raise


def _answer(request: Request, rt: Runtime, goal: CommitTarget, result: CommitResult) -> dict[str, Any]:
    page = f"{base_url(request, rt.settings)}/{goal.repo_type.url_prefix}{goal.repo_name}"
    answer: dict[str, Any] = {
        "success": True,
        "commitOid": result.commit_oid,
        "commitUrl": f"{page}/commit/{result.commit_oid}",
        "hookOutput": "",
    }
    if result.pull_num is not None:
        answer["pullRequestUrl"] = f"{page}/discussions/{result.pull_num}"
    return answer
