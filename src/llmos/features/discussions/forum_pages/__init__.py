"""The forum at `/forum`: lists, topics, writing, bookmarks and drafts, trust; its categories for admins."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.routing import add_router
from llmos.ui.render import register_templates
from llmos.ui.static_files import register_static

register_templates(Path(__file__).parents[1] / "templates")
register_static(Path(__file__).parents[1] / "static")
_GET, _POST = ["GET", "HEAD"], ["POST"]


def add_forum_pages(app: FastAPI) -> None:
    """Register every page of the forum; what has a fixed name before what a title may look like."""
    from llmos.features.discussions.forum_pages import acting, admin, lists, topic, trust, writing
    from llmos.features.repos.pages.routes import add_page

    router = Router()
    add_page(router, "/forum", lists.front_page, _GET)
    add_page(router, "/forum/c/{slug:seg}", lists.category_page, _GET)
    add_page(router, "/forum/t/{tag:seg}", lists.tag_page, _GET)
    add_page(router, "/forum/bookmarks", lists.bookmarks_page, _GET)
    add_page(router, "/forum/drafts", lists.drafts_page, _GET)
    add_page(router, "/forum/drafts", writing.save_draft_page, _POST)
    add_page(router, "/forum/trust", trust.trust_page, _GET)
    add_page(router, "/forum/new", writing.new_page, _GET)
    add_page(router, "/forum/new", writing.post_new_page, _POST)
    add_page(router, "/forum/similar", writing.similar_part, _GET)
    add_page(router, "/-/admin/categories", admin.categories_page, _GET)
    add_page(router, "/-/admin/categories", admin.post_categories_page, _POST)
    acting.add_topic_actions(router)
    add_page(router, "/forum/{num:int}", topic.topic_page, _GET)
    add_page(router, "/forum/{num:int}/{slug:seg}", topic.topic_page, _GET)
    add_router(app, router)
