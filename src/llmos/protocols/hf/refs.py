"""Hub protocol: the branches, tags, conversions and pull requests of a repository."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmos.features.auth.edge import ActorDep
from llmos.features.repos.files import open_git
from llmos.infra.git.revisions import Ref, list_refs
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.hf.target import REPO_API, TargetDep

router = Router(tags=["content"])


def _json(refs: Sequence[Ref]) -> list[dict[str, str]]:
    return [{"name": ref.name, "ref": ref.ref, "targetCommit": ref.target} for ref in refs]


@router.get(REPO_API + "/refs")
def get_refs(
    rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep, include_prs: bool = False
) -> dict[str, Any]:
    found = list_refs(open_git(rt, target.access(db, actor)))
    value: dict[str, Any] = {
        "branches": _json(found.branches),
        "tags": _json(found.tags),
        "converts": _json(found.converts),
    }
    if include_prs:
        value["pullRequests"] = _json(found.pulls)
    return value
