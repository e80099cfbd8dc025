"""All routes of repository content, in matching order."""

from __future__ import annotations

from fastapi import FastAPI

from llmos.protocols.hf import branches, commit_api, commits, compare, preupload, refs, tree, xet_tokens
from llmos.protocols.hf.resolve import ResolveRoute


def add_content_routes(app: FastAPI) -> None:
    """File addresses come first: they are what clients ask for most."""
    app.router.routes.insert(0, ResolveRoute())
    for module in (tree, preupload, commit_api, commits, refs, compare, branches, xet_tokens):
        app.include_router(module.router)
