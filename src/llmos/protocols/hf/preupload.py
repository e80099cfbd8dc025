"""Hub protocol: `preupload`, which files of an upload are large, ignored or already there."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field

from llmos.core.errors import BadRequest
from llmos.features.auth.edge import ActorDep
from llmos.features.repos.claims import quota_warning
from llmos.features.repos.commit_targets import open_target
from llmos.features.repos.models import Repo
from llmos.features.repos.preupload import UploadQuestion, advise_uploads, check_upload_room
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.hf.target import REPO_API, TargetDep

router = Router(tags=["content"])

MAX_FILES = 10_000


class _File(BaseModel):
    path: str = Field(max_length=4096)
    sample: str = Field("", max_length=65_536)
    size: int = Field(0, ge=0)


class PreuploadRequest(BaseModel):
    """`sample` is base64 of the first 512 bytes; git files given here replace the repository's."""

    files: list[_File] = Field(max_length=MAX_FILES)
    gitAttributes: str | None = Field(None, max_length=1_000_000)
    gitIgnore: str | None = Field(None, max_length=1_000_000)


@router.post(REPO_API + "/preupload/{rev:rest}")
def post_preupload(
    response: Response,
    rt: RuntimeDep,
    db: ReadDb,
    actor: ActorDep,
    target: TargetDep,
    rev: str,
    body: PreuploadRequest,
    create_pr: bool = False,
) -> dict[str, Any]:
    place = open_target(db, rt, actor, *target.names, rev, create_pr=create_pr)
    repo = db.get_one(Repo, place.repo_id)
    warning = quota_warning(db, rt.settings, repo.namespace)
    if warning is not None:
        response.headers["X-HF-Warning"] = f"Storage; {warning}"
    questions = [UploadQuestion(file.path, file.size, _sample(file)) for file in body.files]
    answers = advise_uploads(rt, place, questions, attributes=body.gitAttributes, ignores=body.gitIgnore)
    check_upload_room(db, rt, repo, questions, answers)
    files: list[dict[str, Any]] = []
    for answer in answers:
        file: dict[str, Any] = {
            "path": answer.path,
            "uploadMode": answer.mode,
            "shouldIgnore": answer.is_ignored,
        }
        if answer.oid is not None:
            file["oid"] = answer.oid
        files.append(file)
    return {"files": files, "commitOid": place.head} if place.head else {"files": files}


def _sample(file: _File) -> bytes:
    try:
        return base64.b64decode(file.sample)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"sample of {file.path!r} is not base64.") from error
