"""Jobs and runners in a browser."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.responses import HTMLResponse

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.auth.page_context import add_menu_link
from llmos.features.repos.models import Repo, RepoFacts
from llmos.features.repos.pages.repo import CardAction, add_card_action
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.routing import add_router
from llmos.ui.filters import with_query
from llmos.ui.render import MenuLink, register_templates
from llmos.ui.static_files import register_static
from llmos.wire.jobs import RECIPE_SCHEMA_PATH

_HERE = Path(__file__).parent.parent


def add_job_pages(app: FastAPI) -> None:
    """Register the pages; before those of repositories, whose addresses take what is left."""
    from llmos.features.jobs.pages import compare, detail, experiments, lists, new, runner_pages, schema

    add_card_action(_train_like_this)
    register_templates(_HERE / "templates")
    register_static(_HERE / "static")
    add_menu_link(_jobs_link)
    add_menu_link(_runners_link)
    router = Router(default_response_class=HTMLResponse, include_in_schema=False)
    get, post = ["GET", "HEAD"], ["POST"]
    job = "/jobs/{ns:seg}/{job_id:seg}"
    for methods, path, endpoint in (
        (get, RECIPE_SCHEMA_PATH, schema.show_schema),
        (get, "/jobs", lists.queue_page),
        (get, "/runners", runner_pages.runners_page),
        (post, "/runners", runner_pages.post_runner),
        (post, "/runners/{runner_id:seg}", runner_pages.post_change),
        (get, "/jobs/-/experiments", experiments.everybody_page),
        (get, "/jobs/-/compare", compare.compare_page),
        (get, "/jobs/{ns:seg}", lists.owner_page),
        (get, "/jobs/{ns:seg}/-/experiments", experiments.owner_page),
        (get, "/jobs/{ns:seg}/-/new", new.new_page),
        (post, "/jobs/{ns:seg}/-/new", new.post_new),
        (get, "/jobs/{ns:seg}/-/schedules", lists.schedules_page),
        (post, "/jobs/{ns:seg}/-/schedules/{schedule_id:seg}", lists.post_schedule),
        (get, job, detail.job_page),
        (get, job + "/log", detail.log_text),
        (get, job + "/live", detail.live_part),
        (post, job, detail.post_job),
    ):
        router.add_api_route(path, endpoint, methods=methods, response_model=None)
    add_router(app, router)


def _train_like_this(repo: Repo, facts: RepoFacts) -> CardAction | None:
    """For models that came with the recipe they were made by."""
    names = {str(item.get("rfilename")) for item in facts.siblings or [] if isinstance(item, dict)}
    if repo.repo_type is not RepoType.MODEL or "recipe.yaml" not in names:
        return None
    href = with_query("/jobs/me/-/new", {"recipe": repo.repo_name})
    return CardAction(lazy("Train like this"), href, "graduation-cap")


def _jobs_link(rt: Runtime, actor: Actor) -> MenuLink | None:
    return MenuLink(lazy("Jobs"), "/jobs", "cpu")


def _runners_link(rt: Runtime, actor: Actor) -> MenuLink | None:
    return MenuLink(lazy("Runners"), "/runners", "monitor")
