"""Absolute URLs on exactly the host the client used."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from llmos.infra.settings import Settings


def base_url(request: HTTPConnection, settings: Settings) -> str:
    """`http://host:port` without a trailing slash; `LLMOS_PUBLIC_URL` only fills in for a missing Host.

    The Hub client refuses repository URLs on any other host than the one it called, so the
    Host header wins (a forged one only misleads the forger).
    """
    host = request.headers.get("host")
    if not host:
        return (settings.public_url or f"http://{settings.host}:{settings.port}").rstrip("/")
    return f"{request.url.scheme}://{host}"


def site_url(settings: Settings) -> str:
    """The address to print or mail where no request names one, without a trailing slash."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
