"""The runner of `llmos up`: registers itself for everybody's jobs, then becomes a small process.

`python -m llmos.cli.builtin_runner [SECONDS]`. Its token lies in `$LLMOS_HOME/secrets/runner_token`.
An administrator who removes the runner has removed it: deleting that file brings a new one.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmos.infra.runtime import Runtime
    from llmos.infra.settings import Settings

log = logging.getLogger("llmos.runner")

_FIRST_WAIT_S, _MAX_WAIT_S = 5.0, 30.0
_AGAIN = (
    "import os,sys,time; time.sleep(float(sys.argv[1])); "
    "os.execv(sys.executable,[sys.executable,'-m','llmos.cli.builtin_runner',sys.argv[1]])"
)


def is_wanted(settings: Settings) -> bool:
    return settings.runner == "on" or (
        settings.runner == "auto" and os.environ.get("LLMOS_EXTRAS", "all") != "hub"
    )


def prepare(rt: Runtime) -> str:
    """`ready` once token and configuration lie in the home folder; `removed`; or `no admin` yet."""
    from sqlalchemy import select

    from llmos.features.accounts.models import User
    from llmos.features.auth.credentials import actor_for_user
    from llmos.features.jobs.models import Runner
    from llmos.features.jobs.runners import register_runner
    from llmos.infra.security.secrets import hash_secret

    token_file = rt.settings.home / "secrets" / "runner_token"
    with rt.database.writing() as db:
        if token_file.exists():
            token = token_file.read_text().strip()
            found = db.scalar(select(Runner).where(Runner.token_hash == hash_secret(token)))
            if found is not None:
                return "removed" if found.revoked_at else "ready"
        admins = select(User).where(User.is_admin.is_(True), User.disabled_at.is_(None)).order_by(User.id)
        owner = db.scalars(admins.limit(1)).unique().first()
        if owner is None:
            return "no admin"
        _, token = register_runner(db, actor_for_user(db, owner), name="built-in", scope="instance")
        write_private(token_file, token)
    return "ready"


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user may read."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_config(settings: Settings) -> Path:
    """What the small process needs to know."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "localhost") else settings.host
    address = f"[{host}]" if ":" in host else host
    config = settings.home / "runner" / "config.json"
    found = {
        "url": f"http://{address}:{settings.port}",
        "token_file": str(settings.home / "secrets" / "runner_token"),
        "root": str(settings.home / "runner" / "work"),
        "name": "built-in",
        "slots": settings.runner_slots,
        "hide": [str(settings.home)],
        "engines": settings.serve_engines,
        "serve_memory_bytes": settings.serve_memory_bytes,
    }
    write_private(config, json.dumps(found))
    return config


def main() -> int:
    from llmos.app.schema import ensure_schema
    from llmos.infra.runtime import open_runtime
    from llmos.infra.settings import get_settings

    settings = get_settings()
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if not is_wanted(settings):
        return 0
    rt = open_runtime(settings)
    try:
        ensure_schema(rt)
        state = prepare(rt)
    finally:
        rt.close()
    if state == "removed":
        log.warning("the built-in runner was removed; delete secrets/runner_token to register a new one")
        return 0
    sys.stdout.flush()
    if state == "no admin":
        # Whoever claims this instance owns the runner; until then a process of a few megabytes waits.
        waited_s = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
        wait_s = min(waited_s * 1.5, _MAX_WAIT_S) or _FIRST_WAIT_S
        os.execv(sys.executable, [sys.executable, "-c", _AGAIN, str(wait_s)])
    config = write_config(settings)
    os.execv(sys.executable, [sys.executable, "-m", "llmos.runner", str(config), "--built-in"])
    raise AssertionError("exec does not return")


if __name__ == "__main__":
    raise SystemExit(main())
