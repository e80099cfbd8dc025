"""Pages of notifications: the inbox and its live news, watching, mail wishes, webhooks, feeds."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from llmos.features.auth.page_context import set_unread_counter
from llmos.features.discussions.pages.spots import on_thread_opened
from llmos.features.notifications.live import LiveNews
from llmos.features.notifications.queries import unread_for_bell
from llmos.features.notifications.service import note_thread_opened
from llmos.infra.runtime import Runtime
from llmos.infra.web.routing import add_router
from llmos.ui.render import register_templates


def add_notification_pages(app: FastAPI) -> None:
    """Register the pages, the bell of every page's head, and that opened threads are read."""
    from llmos.features.notifications.pages import feeds, inbox, settings, unsubscribe, watch, webhooks

    register_templates(Path(__file__).parent.parent / "templates")
    set_unread_counter(unread_for_bell)
    on_thread_opened(note_thread_opened)
    for module in (inbox, settings, webhooks, watch, unsubscribe, feeds):
        add_router(app, module.router)


def start_live_news(app: FastAPI, rt: Runtime) -> LiveNews:
    """The live news of this process; the caller closes it."""
    live = LiveNews(rt)
    app.state.live_news = live
    return live
