"""Hub protocol: one repository, now or at a revision."""

from __future__ import annotations

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response

from llmos.core.errors import BadRequest
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.repos.facts_store import RepoRecord, at_revision, load_record
from llmos.features.repos.head_facts import read_head_facts
from llmos.features.repos.models import Repo
from llmos.features.repos.places import git_path
from llmos.features.repos.policy import repo_not_found
from llmos.infra.git.repository import open_repo
from llmos.infra.git.revisions import resolve
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.hf.answers import answer, query_flag, query_list
from llmos.protocols.hf.shapes import INFO, check_expand, facts_for, load_related, shape
from llmos.protocols.hf.target import REPO_API, RepoTarget, TargetDep

router = Router(tags=["discovery"])


@router.get(REPO_API)
def get_info(rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep, request: Request) -> Response:
    return _info(rt, db, actor, target, request)


@router.get(REPO_API + "/revision/{rev:rest}")
def get_info_at(
    *, rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep, request: Request, rev: str
) -> Response:
    return _info(rt, db, actor, target, request, rev=rev)


def _info(
    rt: Runtime,
    db: Session,
    actor: Actor,
    target: RepoTarget,
    request: Request,
    *,
    rev: str | None = None,
) -> Response:
    repo = target.access(db, actor)
    names = _properties(request, repo.repo_type)
    record = _record(rt, db, repo, names, rev)
    value = shape(record, names, load_related(db, actor, [record], names))
    if query_flag(request, "blobs"):
        value["siblings"] = record.facts.get("siblings") or []
    if query_flag(request, "securityStatus"):
        value["securityRepoStatus"] = {"scansDone": False, "filesWithIssues": []}
    return answer(value)


def _properties(request: Request, repo_type: RepoType) -> tuple[str, ...]:
    expand = query_list(request, "expand", split=True)
    if not expand:
        return INFO[repo_type]
    if query_flag(request, "blobs") or query_flag(request, "securityStatus"):
        raise BadRequest("expand cannot be combined with blobs or securityStatus: ask twice.")
    return check_expand(repo_type, expand)


def _record(rt: Runtime, db: Session, repo: Repo, names: tuple[str, ...], rev: str | None) -> RepoRecord:
    """The stored facts for the head; facts of any other commit are read from git."""
    if rev is not None:
        commit = resolve(open_repo(git_path(rt, repo)), rev)
        if commit != repo.head_oid:
            record = load_record(db, repo.id)
            return at_revision(record, read_head_facts(rt, repo.repo_type, git_path(rt, repo), commit, db))
    return load_record(db, repo.id, facts_for(names))


# The client asks for ids without a namespace, too ("gpt2"); no repository here has such a name.
short_ids = Router(tags=["discovery"], include_in_schema=False)


class _Verb(Convertor[str]):
    regex = (
        "revision|tree|refs|commits?|compare|paths-info|preupload|settings|likers?|duplicate|branch|tag"
        "|super-squash|lfs-files|auth-check|user-access-request|xet-(?:read|write)-token|discussions"
    )

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _Tail(_Verb):
    regex = "(?:/.*)?"


register_url_convertor("repoverb", _Verb())
register_url_convertor("tail", _Tail())


@short_ids.get("/api/{plural:plural}/{name:seg}")
def get_short_id(actor: ActorDep, plural: str, name: str) -> None:
    raise repo_not_found(actor, RepoType.from_plural(plural), name)


@short_ids.api_route(
    "/api/{plural:plural}/{name:seg}/{verb:repoverb}{rest:tail}",
    methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
)
def any_short_id(actor: ActorDep, plural: str, name: str, verb: str) -> None:
    raise repo_not_found(actor, RepoType.from_plural(plural), name)
