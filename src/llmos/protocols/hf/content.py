"""All routes of repository content, in matching order."""

from __future__ import annotations

from fastapi import FastAPI

from llmos.infra.web.routing import add_router
from llmos.protocols.hf import (
    branches,
    bucket_events,
    bucket_files,
    buckets,
    commit_api,
    commits,
    compare,
    preupload,
    refs,
    tree,
    xet_tokens,
)


def add_content_routes(app: FastAPI) -> None:
    """Everything but file addresses, which `resolve.FilesFirst` answers before any router."""
    for module in (tree, preupload, commit_api, commits, refs, compare, branches, xet_tokens):
        add_router(app, module.router)
    for module in (buckets, bucket_files, bucket_events):
        add_router(app, module.router)
