"""`Link` headers of paginated answers: absolute, with every parameter, as clients follow them blindly."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request

from llmos.infra.settings import Settings
from llmos.infra.web.urls import base_url


def next_link(
    request: Request, settings: Settings, changes: dict[str, str], *, path: str | None = None
) -> dict[str, str]:
    """The `Link: <…>; rel="next"` header: this request with some query parameters replaced."""
    query = request.scope.get("query_string", b"").decode("latin-1")
    kept = [(key, value) for key, value in parse_qsl(query, keep_blank_values=True) if key not in changes]
    url = (
        f"{base_url(request, settings)}{path or request.scope['path']}?{urlencode([*kept, *changes.items()])}"
    )
    return {"Link": f'<{url}>; rel="next"'}
