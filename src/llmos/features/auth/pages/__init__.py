"""Pages of people and their access: signing in, settings, organisations, administration.

Those of `accounts` are here too, because a page needs the session, which `accounts` cannot know.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from llmos.infra.web.routing import add_router
from llmos.ui.render import register_templates

_FEATURES = Path(__file__).parents[2]


def add_account_pages(app: FastAPI) -> None:
    """Register every page of this package and its templates."""
    from llmos.features.auth.pages import (
        account,
        admin,
        applications,
        avatars,
        consent,
        device,
        organizations,
        people,
        preview,
        recovery,
        signin,
        tokens,
    )

    for feature in ("auth", "accounts"):
        register_templates(_FEATURES / feature / "templates")
    for module in (
        signin,
        recovery,
        device,
        consent,
        account,
        tokens,
        applications,
        organizations,
        people,
        avatars,
        preview,
        admin,
    ):
        add_router(app, module.router)
