"""Whether a server may start on an address."""

from __future__ import annotations

import socket


def port_problem(host: str, port: int) -> str | None:
    """Why nobody can listen there, and what to do; None when the port is free.

    The server shares its port between its workers, so a second instance would be let in, too, and
    each would get half of the visitors.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return (
                f"Error: cannot listen on {host}:{port} ({error.strerror}). Is LLMOS running already? "
                "Choose another port by LLMOS_PORT."
            )
    return None
