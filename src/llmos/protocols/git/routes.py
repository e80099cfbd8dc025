"""All routes of git and git-lfs."""

from __future__ import annotations

from fastapi import FastAPI

from llmos.infra.web.routing import add_router
from llmos.protocols.git import lfs, lfs_locks, lfs_transfers
from llmos.protocols.git.smart_http import git_routes


def add_git_routes(app: FastAPI) -> None:
    """Register them before the pages, whose patterns are wider."""
    app.router.routes.extend(git_routes())
    for router in (lfs.router, lfs_locks.router, lfs_transfers.router):
        add_router(app, router)
