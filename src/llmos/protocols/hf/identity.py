"""Every route of the Hub's identity resources."""

from __future__ import annotations

from fastapi import FastAPI

from llmos.protocols.hf import oauth, users, whoami


def add_identity_routes(app: FastAPI) -> None:
    for module in (whoami, users, oauth):
        app.include_router(module.router)
