"""Hub protocol: settings of a repository, storage per repository, large files."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import Response

from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.features.auth.edge import ActorDep
from llmos.features.repos.access_settings import parse_gated, update_settings
from llmos.features.repos.lfs_files import (
    MAX_COPIES,
    MAX_DELETIONS,
    LfsFile,
    delete_lfs_files,
    lend_lfs_files,
    list_lfs_files,
)
from llmos.features.repos.naming import parse_repo_type, parse_visibility
from llmos.features.repos.policy import access_repo
from llmos.features.repos.quota_view import StoredRepo, access_org_namespace, list_stored_repos
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.hf.answers import (
    JsonBody,
    answer,
    drop_none,
    list_of,
    page_answer,
    query_int,
    strings,
    text_of,
)
from llmos.protocols.hf.target import REPO_API, TargetDep

router = Router(tags=["settings"])


@router.put(REPO_API + "/settings")
def put_settings(actor: ActorDep, db: WriteDb, target: TargetDep, body: JsonBody) -> Response:
    repo = target.access(db, actor)
    visibility = parse_visibility(body.get("visibility"), body.get("private"), target.repo_type)
    gated = parse_gated(body["gated"]) if body.get("gated") is not None else None
    if visibility is None and gated is None:
        raise BadRequest("Nothing to change: send 'visibility', 'private' or 'gated'.")
    update_settings(db, actor, repo, visibility=visibility, gated=gated)
    return answer({"visibility": repo.visibility, "private": repo.is_private, "gated": repo.gated or False})


def _stored(item: StoredRepo) -> dict[str, Any]:
    return {
        "id": item.repo_name,
        "type": item.type,
        "updatedAt": clock.to_json(item.updated_at),
        "visibility": item.visibility,
        "storage": item.storage_bytes,
        "storagePercent": item.percent,
    }


@router.get("/api/settings/repositories")
def get_own_repositories(rt: RuntimeDep, db: ReadDb, actor: ActorDep, request: Request) -> Response:
    page = list_stored_repos(
        db,
        actor,
        actor.require_user(),
        cursor=request.query_params.get("cursor"),
        limit=query_int(request, "limit"),
    )
    return page_answer(request, rt.settings, page.map(_stored))


@router.get("/api/organizations/{org:seg}/settings/repositories")
def get_org_repositories(rt: RuntimeDep, db: ReadDb, actor: ActorDep, request: Request, org: str) -> Response:
    namespace = access_org_namespace(db, actor, org)
    page = list_stored_repos(
        db,
        actor,
        namespace.id,
        cursor=request.query_params.get("cursor"),
        limit=query_int(request, "limit"),
    )
    return page_answer(request, rt.settings, page.map(_stored))


def _lfs_file(item: LfsFile) -> dict[str, Any]:
    return drop_none(
        {
            "fileOid": item.oid,
            "oid": item.oid,
            "filename": item.filename,
            "ref": item.ref,
            "size": item.size_bytes,
            "pushedAt": clock.to_json(item.pushed_at),
        }
    )


@router.get(REPO_API + "/lfs-files")
def get_lfs_files(
    rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep, request: Request
) -> Response:
    repo = target.access(db, actor)
    page = list_lfs_files(
        db,
        actor,
        rt,
        repo,
        cursor=request.query_params.get("cursor"),
        limit=query_int(request, "limit"),
    )
    return page_answer(request, rt.settings, page.map(_lfs_file))


@router.post(REPO_API + "/lfs-files/batch")
def post_lfs_files_batch(
    rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep, body: JsonBody
) -> Response:
    repo = target.access(db, actor)
    deletions = body.get("deletions")
    if not isinstance(deletions, dict):
        raise BadRequest("deletions is missing: send {sha: […], rewriteHistory: true}.")
    oids = strings(list_of(deletions, "sha", limit=MAX_DELETIONS), "deletions.sha")
    rewrite = deletions.get("rewriteHistory", True)
    if not isinstance(rewrite, bool):
        raise BadRequest("deletions.rewriteHistory must be true or false.")
    db.close()
    delete_lfs_files(rt, actor, repo, oids, rewrite_history=rewrite)
    return answer({})


@router.post(REPO_API + "/lfs-files/duplicate")
def post_lfs_files_duplicate(actor: ActorDep, db: WriteDb, target: TargetDep, body: JsonBody) -> Response:
    source = target.access(db, actor)
    to = body.get("target")
    if not isinstance(to, dict):
        raise BadRequest("target is missing: send {type, name} of the repository to copy to.")
    namespace, _, name = text_of(to, "name").rpartition("/")
    destination = access_repo(db, actor, parse_repo_type(to.get("type")), namespace or actor.name, name)
    files = list_of(body, "files", limit=MAX_COPIES)
    if not all(isinstance(item, dict) for item in files):
        raise BadRequest("files must hold objects of {sha256, xetHash, filename}.")
    failed = lend_lfs_files(db, actor, source, destination, files)
    return answer({"failed": failed} if failed else {})
