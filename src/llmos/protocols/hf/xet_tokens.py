"""Hub protocol: `xet-read-token` and `xet-write-token`, the way into the chunk store."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from llmos.features.auth.edge import ActorDep
from llmos.features.repos.policy import check_content
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.urls import base_url
from llmos.protocols.hf.target import REPO_API, TargetDep
from llmos.protocols.xet.tokens import XetAccess, XetConnection, connect, connect_writer

router = APIRouter(tags=["xet"])


def connection_answer(connection: XetConnection) -> Response:
    """Rust clients read the body, Python clients the headers."""
    headers = connection.to_headers() | {"Cache-Control": "no-store"}
    return Response(orjson.dumps(connection.to_json()), 200, headers, media_type="application/json")


# The revision is not looked at: the branch of an upload may come to be with its commit, and for
# a new pull request clients write the word None.
@router.get(REPO_API + "/xet-write-token/{rev:rest}")
def get_write_token(
    request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep
) -> Response:
    """A token to upload large files for commits to this repository."""
    repo = target.access(db, actor)
    return connection_answer(connect_writer(db, rt, actor, repo, base_url(request, rt.settings)))


@router.get(REPO_API + "/xet-read-token/{rev:rest}")
def get_read_token(
    request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep
) -> Response:
    """A token to read the large files of this repository."""
    repo = target.access(db, actor)
    check_content(db, actor, repo)
    return connection_answer(connect(rt, base_url(request, rt.settings), XetAccess(repo.id, None)))
