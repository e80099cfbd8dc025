"""Hub protocol: leaderboards of benchmarks."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import Response

from llmos.core.repo_types import RepoType
from llmos.features.accounts.avatars import avatar_url
from llmos.features.accounts.models import Namespace
from llmos.features.auth.edge import ActorDep
from llmos.features.evals.boards import BoardQuery, BoardRow, list_authors, list_board
from llmos.features.evals.models import SIGNED
from llmos.features.repos.policy import access_repo
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url
from llmos.protocols.hf.answers import answer, drop_none, query_flag

router = Router(tags=["evaluation"])
MAX_MODELS = 2000


@router.get("/api/datasets/{namespace:seg}/{name:seg}/leaderboard")
def get_leaderboard(
    *, rt: RuntimeDep, db: ReadDb, actor: ActorDep, request: Request, namespace: str, name: str
) -> Response:
    """Models by their result on a benchmark, the best first; `base_model` leaves out derived ones.

    `task_id` picks one task (ours); without it each model stands with the best of its tasks, as on the Hub.
    """
    dataset = access_repo(db, actor, RepoType.DATASET, namespace, name)
    query = BoardQuery(
        task_id=request.query_params.get("task_id") or "",
        base_models_only=query_flag(request, "base_model") or False,
    )
    rows: dict[int, BoardRow] = {}
    for row in list_board(db, actor, dataset.id, query, limit=MAX_MODELS).rows:
        rows.setdefault(row.repo_id, row)
    authors = list_authors(db, {row.owner for row in rows.values()})
    base = base_url(request, rt.settings)
    ranked = enumerate(rows.values(), start=1)
    return answer([_ranked(rank, row, authors[row.owner], base) for rank, row in ranked])


def _ranked(rank: int, row: BoardRow, owner: Namespace, base: str) -> dict[str, Any]:
    author = {
        "name": owner.name,
        "fullname": owner.fullname or owner.name,
        "avatarUrl": base + avatar_url(owner),
        "type": owner.kind,
    }
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
