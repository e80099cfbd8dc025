"""Who really asks, behind a proxy: X-Forwarded-For and -Proto, believed only from known addresses."""

from __future__ import annotations

import ipaddress

from starlette.types import ASGIApp, Receive, Scope, Send

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(text: str) -> tuple[Network, ...]:
    """`"127.0.0.1, 10.0.0.0/8"` as networks. Raises ValueError that names the bad part."""
    return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


class TrustedProxies:
    """Middleware: the client address and scheme that a trusted proxy reports.

    The list in X-Forwarded-For is read from the right: the first address that is not a trusted
    proxy itself is the client, whatever a client wrote further left.
    """

    def __init__(self, app: ASGIApp, trusted: str) -> None:
        self.app = app
        self._networks = parse_networks(trusted)
        self._known: dict[str, bool] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if scope["type"] in ("http", "websocket") and client and self._is_trusted(client[0]):
            scope = self._forwarded(scope)
        await self.app(scope, receive, send)

    def _forwarded(self, scope: Scope) -> Scope:
        chain, proto = b"", b""
        for key, value in scope["headers"]:
            if key == b"x-forwarded-for":
                chain = chain + b"," + value if chain else value
            elif key == b"x-forwarded-proto":
                proto = value
        if not chain and not proto:
            return scope
        scope = dict(scope)
        scheme = proto.rsplit(b",", 1)[-1].strip().decode("latin-1").lower()
        if scheme in ("http", "https"):
            scope["scheme"] = scheme
        address = self._client_of(chain.decode("latin-1"))
        if address:
            scope["client"] = (address, 0)
        return scope

    def _client_of(self, chain: str) -> str | None:
        found = None
        for part in reversed(chain.split(",")[-20:]):
            try:
                found = str(ipaddress.ip_address(part.strip().strip("[]")))
            except ValueError:
                return found
            if not self._is_trusted(found):
                return found
        return found

    def _is_trusted(self, host: str) -> bool:
        known = self._known.get(host)
        if known is None:
            try:
                address = ipaddress.ip_address(host)
                known = any(address in network for network in self._networks)
            except ValueError:
                known = False
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[host] = known
        return known
