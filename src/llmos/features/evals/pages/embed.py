"""A board to stand in a frame of another site."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import ANONYMOUS
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.evals.boards import list_board
from llmos.features.evals.pages.board import (
    COLUMNS,
    access_benchmark,
    board_rows,
    rank,
    read_query,
    shown_columns,
)
from llmos.features.repos.pages.routes import repo_href
from llmos.features.repos.policy import access_repo
from llmos.infra.i18n import localize
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.urls import base_url

ROWS = 20


def embed_page(
    request: Request, rt: RuntimeDep, db: ReadDb, _actor: ActorDep, ns: str, name: str
) -> Response:
    """The first rows for everybody: whoever looks at the frame is never signed in to it."""
    repo = access_repo(db, ANONYMOUS, RepoType.DATASET, ns, name)
    query, task = read_query(request.query_params, access_benchmark(db, repo))
    page = list_board(db, ANONYMOUS, repo.id, query, limit=ROWS)
    rank(db, query, page)
    locale = request_locale(request, ANONYMOUS)
    context = {
        "task": task,
        "name": repo.repo_name,
        "rows": board_rows(page, locale),
        "total": page.total,
        "columns": shown_columns(request.query_params, page.rows),
        "heads": [(name, localize(label, locale)) for name, label in COLUMNS.items()],
        "base": base_url(request, rt.settings),
        "board_href": f"{base_url(request, rt.settings)}{repo_href(repo)}/leaderboard",
    }
    response = render_page(request, None, "evals/embed.html", context)
    policy = response.headers["Content-Security-Policy"]
    response.headers["Content-Security-Policy"] = policy.replace(
        "frame-ancestors 'none'", "frame-ancestors *"
    )
    del response.headers["X-Frame-Options"]
    del response.headers["Cross-Origin-Opener-Policy"]
    return response
