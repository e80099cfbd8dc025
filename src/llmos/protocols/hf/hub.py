"""The discovery and life-cycle half of the Hub protocol."""

from __future__ import annotations

from fastapi import FastAPI

from llmos.infra.web.routing import add_router
from llmos.protocols.hf import (
    access,
    checks,
    collections,
    discussions,
    evaluation,
    info,
    job_streams,
    jobs,
    likes,
    lists,
    meta,
    not_built,
    repos,
    scheduled_jobs,
    settings,
    uploads,
    validate,
    webhooks,
)


def add_hub_routes(app: FastAPI) -> None:
    """Routes with a meaning of their own, fixed addresses first."""
    for module in (
        repos,
        settings,
        likes,
        discussions,
        uploads,
        checks,
        collections,
        access,
        validate,
        webhooks,
        jobs,
        job_streams,
        scheduled_jobs,
        evaluation,
        meta,
        lists,
    ):
        add_router(app, module.router)


def add_last_hub_routes(app: FastAPI) -> None:
    """After every other Hub route: what is not built, and addresses that match almost anything."""
    add_router(app, not_built.router)
    add_router(app, info.router)
    add_router(app, info.short_ids)
    add_router(app, not_built.unknown)
