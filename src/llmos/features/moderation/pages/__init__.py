"""Pages of moderation: reports, the queue, the log, appeals, one's own standing, block lists."""

from __future__ import annotations

import time
from pathlib import Path
from weakref import WeakKeyDictionary

from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from llmos.features.accounts.actor import Actor
from llmos.features.auth.page_context import add_menu_link
from llmos.features.moderation.queries import list_moderator_ids
from llmos.features.repos.pages.routes import TYPE_ORDER
from llmos.infra.db.engine import Database
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.routing import add_router
from llmos.ui.render import MenuLink, register_templates

_QUEUE_LINK = MenuLink(lazy("Moderation"), "/moderation", "gavel")
# Every page of a signed-in person asks, and the answer changes some times a year.
_KNOWN_FOR_S = 20.0
_known: WeakKeyDictionary[Database, tuple[float, frozenset[int]]] = WeakKeyDictionary()


def add_moderation_pages(app: FastAPI) -> None:
    """Register the pages; before those of repositories, whose addresses take what is left."""
    from llmos.features.moderation.pages import (
        act,
        appeals,
        blocked,
        case,
        conduct,
        log,
        moderators,
        queue,
        report,
        standing,
    )

    register_templates(Path(__file__).parent.parent / "templates")
    add_menu_link(_queue_link)
    for module in (report, queue, case, act, log, appeals, standing, moderators, conduct):
        add_router(app, module.router)
    router = Router()
    for kind in TYPE_ORDER:
        blocked.routes.add_to(router, kind)
    add_router(app, router)


def _queue_link(rt: Runtime, actor: Actor) -> MenuLink | None:
    """The queue, in the menu of those who keep order on the whole site."""
    if actor.is_suspended:
        return None
    return _QUEUE_LINK if actor.is_admin or actor.user_id in _moderators(rt) else None


def _moderators(rt: Runtime) -> frozenset[int]:
    asked_at, found = _known.get(rt.database, (0.0, frozenset[int]()))
    if not asked_at or time.monotonic() - asked_at > _KNOWN_FOR_S:
        try:
            with rt.database.reading() as db:
                found = list_moderator_ids(db)
        except SQLAlchemyError:  # as on error pages, where the database may be away
            return found
        _known[rt.database] = (time.monotonic(), found)
    return found
