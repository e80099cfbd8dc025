"""Hub protocol: create, delete, move and duplicate repositories."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest, TooLarge
from llmos.core.paths import check_file_path
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.repos.lifecycle import create_repo, delete_repo
from llmos.features.repos.models import Repo
from llmos.features.repos.moving import duplicate_repo, move_repo
from llmos.features.repos.naming import RepoExists, parse_repo_type, parse_visibility, repo_path
from llmos.features.repos.policy import RepoMoved, access_repo, repo_not_found
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url
from llmos.protocols.hf.answers import JsonBody, answer, optional_text, text_of
from llmos.protocols.hf.buckets import answer_bucket_move
from llmos.protocols.hf.target import REPO_API, TargetDep

router = Router(tags=["repositories"])

MAX_FIRST_FILES = 100
MAX_FIRST_BYTES = 5 * 1024 * 1024


@contextmanager
def naming_the_holder(request: Request, rt: Runtime) -> Iterator[None]:
    """A 409 also carries `url` of the repository that holds the name: clients with `exist_ok` read it."""
    try:
        yield
    except RepoExists as error:
        path = repo_path(RepoType(error.data["type"]), error.data["repo_name"])
        error.data = {"url": base_url(request, rt.settings) + path}
        raise


def url_of(request: Request, rt: Runtime, repo: Repo) -> str:
    return base_url(request, rt.settings) + repo_path(repo.repo_type, repo.repo_name)


@router.post("/api/repos/create")
def post_create(rt: RuntimeDep, actor: ActorDep, db: WriteDb, request: Request, body: JsonBody) -> Response:
    repo_type = parse_repo_type(body.get("type"))
    with naming_the_holder(request, rt):
        repo = create_repo(
            db,
            actor,
            rt,
            name=text_of(body, "name"),
            repo_type=repo_type,
            organization=optional_text(body, "organization"),
            visibility=parse_visibility(body.get("visibility"), body.get("private"), repo_type),
            sdk=optional_text(body, "sdk"),
            license_id=optional_text(body, "license"),
            files=_first_files(body.get("files")),
        )
    value = {"url": url_of(request, rt, repo), "name": repo.repo_name, "id": repo.object_id}
    return answer(value)


def _first_files(value: Any) -> dict[str, bytes]:
    """Files of the first commit: `[{path, content, encoding?}]`."""
    if value is None:
        return {}
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadRequest("files must be a list of {path, content, encoding}.")
    if len(value) > MAX_FIRST_FILES:
        raise TooLarge(f"files: at most {MAX_FIRST_FILES} with the creation; commit the others.")
    found: dict[str, bytes] = {}
    for item in value:
        path, content = item.get("path"), item.get("content")
        if not isinstance(path, str) or not isinstance(content, str):
            raise BadRequest("files: each needs 'path' and 'content' as texts.")
        found[check_file_path(path, field="files.path")] = _decode(content, item.get("encoding"))
    if sum(map(len, found.values())) > MAX_FIRST_BYTES:
        raise TooLarge(f"files: at most {MAX_FIRST_BYTES} bytes with the creation; commit the others.")
    return found


def _decode(content: str, encoding: Any) -> bytes:
    if encoding in (None, "utf-8"):
        return content.encode("utf-8", "replace")
    if encoding != "base64":
        raise BadRequest("files.encoding must be 'utf-8' or 'base64'.")
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("files.content is not valid base64.") from error


def _named(db: Session, actor: Actor, repo_type: RepoType, repo_name: str) -> Repo:
    """A repository named in a body; an old name is not found there, as nothing can redirect."""
    namespace, _, name = repo_name.rpartition("/")
    try:
        return access_repo(db, actor, repo_type, namespace or actor.name, name)
    except RepoMoved as moved:
        new_name = moved.data["repo_name"]
        refusal = repo_not_found(actor, repo_type, repo_name)
        refusal.message += f" It is now called {new_name}."
        raise refusal from moved


@router.delete("/api/repos/delete")
def delete_delete(actor: ActorDep, db: WriteDb, body: JsonBody) -> Response:
    name, organization = text_of(body, "name"), optional_text(body, "organization")
    full_name = name if "/" in name else f"{organization or actor.name}/{name}"
    repo_type = parse_repo_type(body.get("type"))
    delete_repo(db, actor, _named(db, actor, repo_type, full_name))
    return answer({})


@router.post("/api/repos/move")
def post_move(rt: RuntimeDep, actor: ActorDep, db: WriteDb, request: Request, body: JsonBody) -> Response:
    if body.get("type") == "bucket":
        return answer_bucket_move(db, rt, actor, request, text_of(body, "fromRepo"), text_of(body, "toRepo"))
    repo_type = parse_repo_type(body.get("type"))
    actor.require_user()
    repo = _named(db, actor, repo_type, text_of(body, "fromRepo"))
    with naming_the_holder(request, rt):
        move_repo(db, actor, repo, text_of(body, "toRepo"))
    return answer({"url": url_of(request, rt, repo), "name": repo.repo_name})


@router.post(REPO_API + "/duplicate")
def post_duplicate(
    *,
    rt: RuntimeDep,
    actor: ActorDep,
    read_db: ReadDb,
    db: WriteDb,
    target: TargetDep,
    request: Request,
    body: JsonBody,
) -> Response:
    source = target.access(read_db, actor)
    visibility = parse_visibility(body.get("visibility"), body.get("private"), target.repo_type)
    to_name = text_of(body, "repository")
    with naming_the_holder(request, rt):
        repo = duplicate_repo(db, actor, rt, source, to_name, visibility=visibility)
    return answer({"url": url_of(request, rt, repo), "name": repo.repo_name, "filesCopyPending": False})
