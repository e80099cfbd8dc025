"""Hub protocol: `xet-read-token` and `xet-write-token`, the way into the chunk store."""

from __future__ import annotations

import orjson
from fastapi import Request
from starlette.responses import Response

from llmos.core.errors import RevisionNotFound
from llmos.features.auth.edge import ActorDep
from llmos.features.repos.places import open_git
from llmos.features.repos.policy import check_content
from llmos.infra.git.revisions import resolve
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url
from llmos.protocols.hf.target import REPO_API, TargetDep
from llmos.protocols.xet.tokens import Holder, XetAccess, XetConnection, connect, connect_writer

MAX_REVISION_CHARS = 300

router = Router(tags=["xet"])


def connection_answer(connection: XetConnection) -> Response:
    """Rust clients read the body, Python clients the headers."""
    headers = connection.to_headers() | {"Cache-Control": "no-store"}
    return Response(orjson.dumps(connection.to_json()), 200, headers, media_type="application/json")


@router.get(REPO_API + "/xet-write-token/{rev:rest}")
def get_write_token(
    request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep, rev: str
) -> Response:
    """A token to upload large files for commits to this repository.

    The revision is noted, not looked up: the branch of an upload may come to be with its commit,
    and for a new pull request clients write the word None.
    """
    repo = target.access(db, actor)
    host = base_url(request, rt.settings)
    return connection_answer(connect_writer(db, rt, actor, repo, host, _noted(rev)))


@router.get(REPO_API + "/xet-read-token/{rev:rest}")
def get_read_token(
    request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep, rev: str
) -> Response:
    """A token to read the large files of one revision; of a branch, those it has when they are read.

    RevisionNotFound where there is no such revision.
    """
    repo = target.access(db, actor)
    check_content(db, actor, repo)
    resolve(open_git(rt, repo), rev)
    access = XetAccess(repo.id, None, holder=Holder.of(actor), revision=_noted(rev))
    return connection_answer(connect(rt, base_url(request, rt.settings), access))


def _noted(rev: str) -> str:
    """Tokens travel in headers and links, so they hold no revision of any length."""
    if len(rev) > MAX_REVISION_CHARS:
        raise RevisionNotFound(f"Invalid rev id: it has more than {MAX_REVISION_CHARS} characters.")
    return rev
