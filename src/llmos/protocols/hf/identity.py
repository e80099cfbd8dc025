"""Every route of the Hub's identity resources."""

from __future__ import annotations

from fastapi import FastAPI

from llmos.infra.web.routing import add_router
from llmos.protocols.hf import oauth, users, whoami


def add_identity_routes(app: FastAPI) -> None:
    for module in (whoami, users, oauth):
        add_router(app, module.router)
