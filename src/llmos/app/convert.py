"""`python -m llmos.app.convert`: turn LFS uploads into chunks, then end.

The worker starts it when there is something to do. It has a process of its own because the client's
library is native and large, and runs at the lowest priority.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta

from llmos.core.errors import Conflict, Unavailable
from llmos.features.repos.xet_conversion import SETTLE, ConversionRun, has_work, run_conversions
from llmos.features.storage.xet.convert import CasAddress, clean_work
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings, get_settings

log = logging.getLogger("llmos.convert")

# Long enough for the largest file at the lowest pace anybody would choose.
TOKEN_TTL_S = 7 * 24 * 3600
_PROBE_LIMIT_S = 10
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def start_conversions(rt: Runtime) -> None:
    """Run the program above to its end, if there is anything for it to do."""
    if has_work(rt):
        subprocess.run([sys.executable, "-m", "llmos.app.convert"], check=False)


def convert_all(rt: Runtime, *, settle: timedelta = SETTLE) -> ConversionRun:
    """One run in this process. Raises Conflict while another goes on, Unavailable where the web
    process, which takes the chunks, does not answer."""
    from llmos.protocols.xet.tokens import XetAccess, connect

    host = own_address(rt.settings)
    _check_answers(host)

    def connect_scope(scope_id: int) -> CasAddress:
        # For no repository: what is uploaded is recorded, and claimed only once it is verified.
        found = connect(rt, host, XetAccess(None, scope_id), ttl_s=TOKEN_TTL_S)
        return CasAddress(found.cas_url, found.access_token, found.expires_at_s)

    with _alone(rt):
        clean_work(rt)
        return run_conversions(rt, connect_scope, settle=settle)


def own_address(settings: Settings) -> str:
    """Where this machine reaches the web process, whatever stands in front of it."""
    host = _ANY_HOST.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{settings.port}"


def _check_answers(host: str) -> None:
    try:
        with urllib.request.urlopen(f"{host}/-/health", timeout=_PROBE_LIMIT_S):
            return
    except (urllib.error.URLError, OSError) as error:
        raise Unavailable(f"The web process does not answer at {host}: start it, then convert.") from error


@contextlib.contextmanager
def _alone(rt: Runtime) -> Iterator[None]:
    """Held until the end of the process at the latest, however that comes."""
    with (rt.settings.home / "convert.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict("Another conversion is under way: wait until it is done.") from error
        yield


def main() -> None:
    settings = get_settings()
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    os.nice(19)
    rt = open_runtime(settings)
    try:
        run = convert_all(rt)
        log.info(
            "converted %d objects, retired %d, freed %d bytes; %d failed",
            len(run.converted),
            len(run.retired),
            run.freed_bytes,
            len(run.failed),
        )
    except (Conflict, Unavailable) as error:
        log.warning("nothing converted: %s", error.message)
    finally:
        rt.close()


if __name__ == "__main__":
    main()
