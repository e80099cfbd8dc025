"""Every address of the chunk store, with the spellings of older clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response

from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.routing import add_router
from llmos.protocols.xet import downloads, uploads

_PREFIXES = ("/cas", "/cas/e/{epoch:seg}")
# hf_xet 1.1 has no version in its paths, 1.4 only leaves it out for shards.
_VERSIONS = ("/v1", "")

_ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", "/chunks/{prefix:seg}/{chunk_hash:seg}", downloads.get_chunk),
    ("POST", "/xorb-grants/{prefix:seg}/{xorb_hash:seg}", uploads.post_xorb_grant),
    ("POST", "/xorb-commits/{prefix:seg}/{xorb_hash:seg}/grant/{grant_id:seg}", uploads.post_xorb_commit),
    ("POST", "/xorbs/{prefix:seg}/{xorb_hash:seg}", uploads.post_xorb),
    ("POST", "/shards", uploads.post_shard_v1),
    ("GET", "/reconstructions/{file_hash:seg}", downloads.get_reconstruction_v1),
]


async def ignore_telemetry() -> Response:
    """Clients report on themselves to the root of the store's host; nothing of it is kept."""
    return Response(None, 204)


def add_xet_routes(app: FastAPI) -> None:
    router = Router(tags=["xet"], include_in_schema=False)
    for prefix in _PREFIXES:
        for version in _VERSIONS:
            for method, path, endpoint in _ROUTES:
                router.add_api_route(prefix + version + path, endpoint, methods=[method])
        router.add_api_route(f"{prefix}/v2/shards", uploads.post_shard_v2, methods=["POST"])
        router.add_api_route(
            prefix + "/v2/reconstructions/{file_hash:seg}", downloads.get_reconstruction_v2, methods=["GET"]
        )
        router.add_api_route(f"{prefix}/v1/telemetry", ignore_telemetry, methods=["POST"])
    router.add_api_route("/cas/data/{xorb_hash:seg}", downloads.get_data, methods=["GET"])
    router.add_api_route("/v1/telemetry", ignore_telemetry, methods=["POST"])
    add_router(app, router)
