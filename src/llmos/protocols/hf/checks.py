"""What checks (tests, scans) say of a commit; a repository may require some before a merge.

Not part of the Hub's own API, but shaped like it.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from llmos.core.clock import to_json
from llmos.features.auth.edge import ActorDep
from llmos.features.discussions.models import CommitCheck
from llmos.features.discussions.reviews import list_checks, report_check
from llmos.features.repos.files import open_git
from llmos.infra.git.revisions import resolve
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.hf.answers import JsonBody, answer, optional_text, text_of
from llmos.protocols.hf.target import REPO_API, TargetDep

router = Router(tags=["discussions"])


@router.get(REPO_API + "/checks/{rev:rest}")
def get_checks(rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep, rev: str) -> Response:
    """The latest word of every check on the commit that `rev` names."""
    repo = target.access(db, actor)
    oid = resolve(open_git(rt, repo), rev)
    return answer({"oid": oid, "checks": [_check_json(check) for check in list_checks(db, repo, oid)]})


@router.post(REPO_API + "/checks/{rev:rest}")
def post_check(
    rt: RuntimeDep, actor: ActorDep, body: JsonBody, db: WriteDb, target: TargetDep, rev: str
) -> Response:
    """Report `{name, state: pending|success|failure, description?, url?}`; for writers."""
    repo = target.access(db, actor)
    oid = resolve(open_git(rt, repo), rev)
    report_check(
        db,
        actor,
        repo,
        oid,
        text_of(body, "name", limit=100),
        text_of(body, "state", limit=20),
        description=optional_text(body, "description", limit=300) or "",
        url=optional_text(body, "url", limit=1000) or "",
    )
    return answer({"oid": oid})


def _check_json(check: CommitCheck) -> dict[str, Any]:
    return {
        "name": check.name,
        "state": check.state,
        "description": check.description,
        "url": check.url,
        "updatedAt": to_json(check.updated_at),
    }
