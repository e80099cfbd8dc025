"""Cookies with one set of attributes: SameSite=Lax, whole site, https where the request has it."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.responses import Response

from llmos.infra.settings import Settings


def is_secure(request: HTTPConnection, settings: Settings) -> bool:
    """Whether cookies of this answer demand https, by `LLMOS_SECURE_COOKIES`."""
    if settings.secure_cookies == "auto":
        return request.url.scheme == "https"
    return settings.secure_cookies == "always"


def set_cookie(
    response: Response,
    request: HTTPConnection,
    settings: Settings,
    name: str,
    value: str,
    *,
    max_age_s: int | None = None,
) -> None:
    """Set a cookie no script can read; without `max_age_s` it ends with the browser."""
    response.set_cookie(
        name,
        value,
        max_age=max_age_s,
        path="/",
        secure=is_secure(request, settings),
        httponly=True,
        samesite="lax",
    )


def drop_cookie(response: Response, name: str) -> None:
    response.delete_cookie(name, path="/", httponly=True, samesite="lax")
