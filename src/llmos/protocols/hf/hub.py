"""The discovery and life-cycle half of the Hub protocol."""

from __future__ import annotations

from fastapi import FastAPI

from llmos.protocols.hf import access, info, likes, lists, meta, not_built, repos, settings, validate


def add_hub_routes(app: FastAPI) -> None:
    """Routes with a meaning of their own, fixed addresses first."""
    for module in (repos, settings, likes, access, validate, meta, lists):
        app.include_router(module.router)


def add_last_hub_routes(app: FastAPI) -> None:
    """After every other Hub route: what is not built, and addresses that match almost anything."""
    app.include_router(not_built.router)
    app.include_router(info.router)
    app.include_router(info.short_ids)
    app.include_router(not_built.unknown)
