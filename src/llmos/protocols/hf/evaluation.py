"""Hub protocol: leaderboards of benchmarks."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import Response

from llmos.core.repo_types import RepoType
from llmos.features.accounts.avatars import avatar_url
from llmos.features.accounts.models import Namespace
from llmos.features.auth.edge import ActorDep
from llmos.features.evals.boards import BoardQuery, Standing, list_authors, list_standing
from llmos.features.evals.models import SIGNED
from llmos.features.repos.policy import access_repo
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url
from llmos.protocols.hf.answers import answer, drop_none, query_flag, query_int

router = Router(tags=["evaluation"])
MAX_MODELS = 2000


@router.get("/api/datasets/{namespace:seg}/{name:seg}/leaderboard")
def get_leaderboard(
    *, rt: RuntimeDep, db: ReadDb, actor: ActorDep, request: Request, namespace: str, name: str
) -> Response:
    """Models by their result on a benchmark, the best first; `base_model` leaves out derived ones.

    `task_id` picks one task (ours); without it each model stands with the best of its tasks, as on the Hub.
    `limit` (ours) asks for fewer models than MAX_MODELS.
    """
    dataset = access_repo(db, actor, RepoType.DATASET, namespace, name)
    query = BoardQuery(
        task_id=request.query_params.get("task_id") or "",
        base_models_only=query_flag(request, "base_model") or False,
    )
    limit = min(max(query_int(request, "limit") or MAX_MODELS, 1), MAX_MODELS)
    rows: dict[int, Standing] = {}
    # Of one task each model has one row.
    most = limit if query.task_id else MAX_MODELS
    for row in list_standing(db, actor, dataset.id, query, limit=most):
        rows.setdefault(row.repo_id, row)
    shown = list(rows.values())[:limit]
    base = base_url(request, rt.settings)
    owners = list_authors(db, {row.owner for row in shown})
    authors = {name: _author(owner, base) for name, owner in owners.items()}
    return answer([_ranked(rank, row, authors[row.owner], base) for rank, row in enumerate(shown, start=1)])


def _author(owner: Namespace, base: str) -> dict[str, str]:
    return {
        "name": owner.name,
        "fullname": owner.fullname or owner.name,
        "avatarUrl": base + avatar_url(owner),
        "type": owner.kind,
    }


def _ranked(rank: int, row: Standing, author: dict[str, str], base: str) -> dict[str, Any]:
    is_signed = row.evidence >= SIGNED
    url = row.source_url or (f"{base}/benchmarks/records/{row.record_id}" if is_signed else "")
    source = {"url": url, "isExternal": bool(row.source_url), "name": row.source_name or None}
    # Clients before 1.20 need `source` even where nobody named one.
    return {"source": drop_none(source) if url else None} | drop_none(
        {
            "rank": rank,
            "modelId": row.model_name,
            "value": row.value,
            "filename": row.filename,
            "verified": is_signed,
            "author": author,
            "pullRequest": row.pull_num or None,
            "notes": row.notes or None,
        }
    )
