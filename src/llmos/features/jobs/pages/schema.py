"""The JSON schema of recipes at an address of its own: what editors complete and check recipes with."""

from __future__ import annotations

import hashlib

from fastapi import Request, Response

from llmos.features.jobs.recipes import recipe_schema_text
from llmos.infra.web.ranges import etag_matches


def show_schema(request: Request) -> Response:
    """The schema of this version's training lab; the same for everybody, asked for again after an hour."""
    body = recipe_schema_text().encode()
    etag = hashlib.sha256(body).hexdigest()[:24]
    headers = {"ETag": f'"{etag}"', "Cache-Control": "public, max-age=3600"}
    if etag_matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/schema+json", headers=headers)
