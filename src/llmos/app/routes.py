"""Every router of the instance, in matching order: protocols first, pages last."""

from __future__ import annotations

from functools import lru_cache

from fastapi import FastAPI
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route

from llmos.app.site_pages import add_site_pages
from llmos.features.apps.pages import add_app_pages
from llmos.features.auth.pages import add_account_pages
from llmos.features.buckets.pages import add_bucket_pages
from llmos.features.collections.pages import add_collection_pages
from llmos.features.discovery.pages import add_discovery_pages, add_people_pages
from llmos.features.discussions.forum_pages import add_forum_pages
from llmos.features.discussions.pages import add_discussion_pages
from llmos.features.endpoints.pages import add_endpoint_api, add_endpoint_pages
from llmos.features.evals.pages import add_evaluation_api, add_evaluation_pages
from llmos.features.jobs.api import add_runner_routes
from llmos.features.jobs.pages import add_job_pages
from llmos.features.moderation.forum_trust import fill_forum_trust
from llmos.features.moderation.pages import add_moderation_pages
from llmos.features.notifications.pages import add_notification_pages
from llmos.features.playground.pages import add_playground_api, add_playground_pages
from llmos.features.quickstart.pages import add_quickstart_api, add_quickstart_pages
from llmos.features.repos.pages.router import add_repo_pages
from llmos.features.rights.pages import add_rights_pages
from llmos.protocols.git.routes import add_git_routes
from llmos.protocols.hf.content import add_content_routes
from llmos.protocols.hf.hub import add_hub_routes, add_last_hub_routes
from llmos.protocols.hf.identity import add_identity_routes
from llmos.protocols.inference.routes import add_inference_routes
from llmos.protocols.openai.routes import add_openai_routes
from llmos.protocols.xet.routes import add_xet_routes


async def _health(_request: object) -> PlainTextResponse:
    return PlainTextResponse("ok")


def add_routes(app: FastAPI) -> None:
    """The routes know no application: what one of a process has built of them serves every other."""
    fill_forum_trust()
    app.router.routes.extend(_all_routes())


@lru_cache(maxsize=1)
def _all_routes() -> tuple[BaseRoute, ...]:
    app = FastAPI(openapi_url=None)
    app.router.routes.append(Route("/-/health", _health))
    add_site_pages(app)
    add_git_routes(app)
    add_xet_routes(app)
    add_identity_routes(app)
    add_openai_routes(app)
    add_inference_routes(app)
    add_account_pages(app)
    add_notification_pages(app)
    add_hub_routes(app)
    add_content_routes(app)
    add_runner_routes(app)
    add_endpoint_api(app)
    add_evaluation_api(app)
    add_playground_api(app)
    add_quickstart_api(app)
    add_last_hub_routes(app)
    add_bucket_pages(app)
    add_job_pages(app)
    add_endpoint_pages(app)
    add_collection_pages(app)
    add_forum_pages(app)
    add_rights_pages(app)
    add_discovery_pages(app)
    add_moderation_pages(app)
    add_evaluation_pages(app)
    add_playground_pages(app)
    add_app_pages(app)
    add_quickstart_pages(app)
    add_discussion_pages()
    add_repo_pages(app)
    add_people_pages(app)
    return tuple(app.router.routes)
