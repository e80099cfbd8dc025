"""Requests to addresses that users chose: only to public machines, bounded in time and size.

The name is looked up once and the connection goes to exactly the address that was checked, so
that a name server cannot answer differently the second time. Redirects are not followed and
proxies of the environment are not used.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from llmos.core.errors import BadRequest
from llmos.infra.i18n import lazy

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
MAX_URL_CHARS = 2000
MAX_ANSWER_BYTES = 16 * 1024
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class RequestFailed(Exception):
    """No answer: refused address, no connection, time out, broken TLS. The text is for the user."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is the beginning of what came, at most MAX_ANSWER_BYTES."""

    status: int
    reason: str
    body: bytes
    took_ms: int


def parse_networks(text: str) -> tuple[Network, ...]:
    """`"10.0.0.0/8, 127.0.0.1"` as networks. Raises ValueError."""
    return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def check_url(url: str, allowed: Sequence[Network] = ()) -> str:
    """The address, if requests may go there as far as one can tell without looking its name up.

    BadRequest for anything but http(s), for credentials in it and for private numeric hosts.
    """
    if len(url) > MAX_URL_CHARS:
        raise BadRequest(lazy("url is too long: at most %(limit)s characters.", limit=MAX_URL_CHARS))
    if any(ord(char) <= 0x20 or ord(char) >= 0x7F for char in url):
        raise BadRequest(lazy("url may hold only ASCII characters without spaces: encode the others."))
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadRequest(lazy("url is not an address: %(error)s.", error=str(error))) from error
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise BadRequest(lazy("url must begin with https:// or http:// and name a host."))
    if parts.username is not None or parts.password is not None:
        raise BadRequest(lazy("url must not hold a user name or password: use the secret instead."))
    with contextlib.suppress(ValueError):
        if not is_allowed(ipaddress.ip_address(host), allowed):
            raise BadRequest(
                lazy("url points to a private address, which this site does not call: use a public one.")
            )
    return url


def is_allowed(address: IpAddress, allowed: Sequence[Network] = ()) -> bool:
    """Whether a request may go to `address`: it is public, or in one of the `allowed` networks."""
    if any(address.version == network.version and address in network for network in allowed):
        return True
    inner = _embedded(address)
    if inner is not None:
        return is_allowed(inner, allowed)
    return address.is_global and not address.is_multicast and not address.is_reserved


def _embedded(address: IpAddress) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to, if it is such."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


def resolve(host: str, port: int, allowed: Sequence[Network] = ()) -> str:
    """The first address of `host` that may be called. Raises RequestFailed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise RequestFailed(f"The name {host!r} was not found: {error}") from error
    for *_, place in found:
        address = str(place[0])
        if is_allowed(ipaddress.ip_address(address.partition("%")[0]), allowed):
            return address
    raise RequestFailed(f"{host} is a private address, which this site does not call.")


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, allowed: Sequence[Network] = ()
) -> Answer:
    """POST `body`; the whole exchange ends after `timeout_s`. Raises RequestFailed.

    Any status is an answer, a redirect, too.
    """
    started_at = time.monotonic()
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = resolve(host, port, allowed)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    held: list[socket.socket] = []
    # Time outs of a socket begin anew with every byte; this one does not.
    deadline = threading.Timer(timeout_s, _cut, [held])
    deadline.daemon = True
    try:
        held.append(socket.create_connection((address, port), timeout=timeout_s))
        deadline.start()
        if parts.scheme == "https":
            tls = _tls().wrap_socket(held[0], server_hostname=host, do_handshake_on_connect=False)
            held[0] = tls
            tls.do_handshake()
        connection.sock = held[0]
        connection.request("POST", path, body, {"Connection": "close", **headers})
        with connection.getresponse() as response:
            text = response.read(MAX_ANSWER_BYTES)
        took_ms = int((time.monotonic() - started_at) * 1000)
        return Answer(response.status, response.reason, text, took_ms)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if time.monotonic() - started_at >= timeout_s:
            raise RequestFailed(f"No complete answer within {timeout_s:g} seconds.") from error
        raise RequestFailed(str(error) or type(error).__name__) from error
    finally:
        deadline.cancel()
        connection.close()
        for opened in held:
            opened.close()


def _cut(held: list[socket.socket]) -> None:
    """End whatever waits on the connection, without touching the TLS state another thread uses."""
    for opened in held:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(opened, socket.SHUT_RDWR)


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
