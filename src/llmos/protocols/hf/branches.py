"""Hub protocol: branches, tags and squashing."""

from __future__ import annotations

from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.repos import refs
from llmos.features.repos.commit_targets import check_commit_access, writable_ref
from llmos.features.repos.files import open_git
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import check_write
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.hf.target import REPO_API, RepoTarget, TargetDep

router = Router(tags=["content"])


class BranchRequest(BaseModel):
    startingPoint: str | None = None
    emptyBranch: bool = False
    overwrite: bool = False


class TagRequest(BaseModel):
    tag: str
    message: str | None = None


class SquashRequest(BaseModel):
    message: str | None = None


def _done() -> Response:
    return Response(b"{}", 200, media_type="application/json")


def _writable(db: Session, actor: Actor, target: RepoTarget) -> Repo:
    repo = target.access(db, actor)
    actor.require_user()
    check_write(actor, repo)
    return repo


def _is_protected(db: Session, rt: Runtime, repo: Repo, branch: str) -> bool:
    name = branch.removeprefix("refs/heads/")
    return refs.is_protected(db, open_git(rt, repo), repo, name)


@router.post(REPO_API + "/branch/{branch:rest}")
def post_branch(
    rt: RuntimeDep,
    db: ReadDb,
    actor: ActorDep,
    target: TargetDep,
    branch: str,
    body: BranchRequest | None = None,
) -> Response:
    repo = _writable(db, actor, target)
    asked = body or BranchRequest()
    is_protected = _is_protected(db, rt, repo, branch)
    db.close()
    refs.create_branch(
        rt,
        actor,
        repo,
        branch,
        starting_point=asked.startingPoint,
        is_empty=asked.emptyBranch,
        may_overwrite=asked.overwrite,
        is_protected_branch=is_protected,
    )
    return _done()


@router.delete(REPO_API + "/branch/{branch:rest}")
def delete_branch(rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep, branch: str) -> Response:
    repo = _writable(db, actor, target)
    is_protected = _is_protected(db, rt, repo, branch)
    db.close()
    refs.delete_branch(rt, actor, repo, branch, is_protected_branch=is_protected)
    return _done()


@router.post(REPO_API + "/tag/{rev:rest}")
def post_tag(
    rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep, rev: str, body: TagRequest
) -> Response:
    repo = _writable(db, actor, target)
    db.close()
    refs.create_tag(rt, actor, repo, body.tag, rev, body.message)
    return _done()


@router.delete(REPO_API + "/tag/{tag:rest}")
def delete_tag(rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep, tag: str) -> Response:
    repo = _writable(db, actor, target)
    db.close()
    refs.delete_tag(rt, actor, repo, tag)
    return _done()


@router.post(REPO_API + "/super-squash/{rev:rest}")
def post_super_squash(
    rt: RuntimeDep,
    db: ReadDb,
    actor: ActorDep,
    target: TargetDep,
    rev: str,
    body: SquashRequest | None = None,
) -> Response:
    repo = target.access(db, actor)
    check_commit_access(db, actor, repo, writable_ref(rev), create_pr=False)
    db.close()
    refs.super_squash(rt, actor, repo, rev, body.message if body else None)
    return _done()
