"""Pages of evaluation: benchmarks, boards, records, the log, and a model's own results."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from llmos.features.evals import events as _events  # noqa: F401  # results of pull requests
from llmos.features.evals import storing as _storing  # noqa: F401  # results of what is pushed
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.routing import add_router
from llmos.ui.render import register_templates

register_templates(Path(__file__).parents[1] / "templates")
_GET = ["GET", "HEAD"]


def add_evaluation_api(app: FastAPI) -> None:
    """Our own calls; before the addresses that the Hub's protocol keeps for what is not built."""
    from llmos.features.evals import api

    add_router(app, api.router)


def add_evaluation_pages(app: FastAPI) -> None:
    """Pages with addresses of their own, and the tabs of repositories; before the repository pages."""
    from llmos.features.evals.pages import board, combined, embed, lists, log, model, record
    from llmos.features.repos.pages.frame import add_repo_tab
    from llmos.features.repos.pages.router import add_repo_routes
    from llmos.features.repos.pages.routes import add_page

    router = Router()
    add_page(router, "/benchmarks", lists.benchmarks_page, _GET)
    add_page(router, "/benchmarks/combined", combined.combined_page, _GET)
    add_page(router, "/benchmarks/log", log.log_page, _GET)
    add_page(router, "/benchmarks/key.pem", log.key_file, _GET)
    add_page(router, "/benchmarks/instances", log.instances_page, _GET)
    add_page(router, "/benchmarks/instances", log.post_instances, ["POST"])
    add_page(router, "/benchmarks/records/{record_id:seg}", record.record_page, _GET)
    add_page(router, "/benchmarks/records/{record_id:seg}", record.post_record, ["POST"])
    add_page(router, "/embed/leaderboard/{ns:seg}/{name:seg}", embed.embed_page, _GET)
    add_router(app, router)
    add_repo_tab(board.tab_of)
    add_repo_tab(model.tab_of)
    add_repo_routes(board.routes)
    add_repo_routes(model.routes)
