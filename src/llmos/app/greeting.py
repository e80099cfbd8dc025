"""What `llmos up` prints once the first page answers: the address, and how to become admin."""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request

from llmos.infra.settings import Settings, get_settings
from llmos.infra.web.urls import site_url

WAIT_S = 60.0


def wait_for_first_page(settings: Settings) -> bool:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/-/health"
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    return False


def claim_link(settings: Settings) -> str | None:
    """A fresh one-time link while there is no admin account; None afterwards."""
    from llmos.core.errors import Conflict
    from llmos.features.auth.links import create_claim_link
    from llmos.infra.runtime import open_runtime

    rt = open_runtime(settings)
    try:
        with rt.database.writing() as db:
            return create_claim_link(db, rt)
    except Conflict:
        return None
    finally:
        rt.close()


def main() -> int:
    settings = get_settings()
    if not wait_for_first_page(settings):
        print("The web process does not answer yet; its log lines above say why.", file=sys.stderr)
        return 0
    lines = ["", f"  LLMOS is at    {site_url(settings)}"]
    link = claim_link(settings)
    if link:
        lines += [
            f"  Claim admin    {link}",
            "                 (works once; a new link is printed at each start)",
        ]
    lines += [f"  Everything in  {settings.home}", "  Stop           Ctrl-C", ""]
    print("\n".join(lines), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
