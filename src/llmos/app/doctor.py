"""`llmos doctor`: what this instance needs, whether it is there, and how to mend it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from llmos.app.clocks import list_clock_problems
from llmos.app.install_lab import read_progress
from llmos.core.clock import now, to_json
from llmos.features.evals.checks import examine_key
from llmos.infra.runtime import Runtime
from llmos.infra.settings import GIB, MIB

WARN_FREE_BYTES = 5 * GIB
FAIL_FREE_BYTES = 500 * MIB


@dataclass(frozen=True, slots=True)
class Finding:
    """`state` is ok, warn or fail; `mend` says what to do and is empty when all is well."""

    check: str
    state: str
    detail: str
    mend: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def examine(rt: Runtime) -> list[Finding]:
    """Every check, in order; none of them changes anything lasting."""
    checks: list[Callable[[Runtime], Iterator[Finding]]] = [
        _check_git,
        _check_git_lfs,
        _check_folder,
        _check_disk,
        _check_database,
        _check_clock,
        _check_secrets,
        _check_instance_key,
        _check_sandbox,
        _check_training,
        _check_conversion,
    ]
    return [finding for check in checks for finding in check(rt)]


def _version(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else ""


def _check_git(_rt: Runtime) -> Iterator[Finding]:
    version = _version("git", "--version")
    if version is None:
        yield Finding("git", "fail", "git is not installed", "apt-get install git")
    else:
        yield Finding("git", "ok", version)


def _check_git_lfs(_rt: Runtime) -> Iterator[Finding]:
    version = _version("git-lfs", "--version")
    if version is None:
        # The server speaks LFS itself; only its members' machines need the program.
        yield Finding("git-lfs", "warn", "git-lfs is not installed here", "apt-get install git-lfs")
    else:
        yield Finding("git-lfs", "ok", version)


def _check_folder(rt: Runtime) -> Iterator[Finding]:
    home = rt.settings.home
    if not os.access(home, os.W_OK | os.X_OK):
        yield Finding("folder", "fail", f"{home} is not writable", f"chown -R $(id -un) {home}")
        return
    mode = home.stat().st_mode & 0o777
    if mode & 0o007:
        yield Finding("folder", "warn", f"{home} is open to other users ({mode:o})", f"chmod o-rwx {home}")
    else:
        yield Finding("folder", "ok", str(home))


def _check_disk(rt: Runtime) -> Iterator[Finding]:
    usage = shutil.disk_usage(rt.settings.home)
    detail = f"{usage.free / GIB:.1f} GiB free of {usage.total / GIB:.1f} GiB"
    mend = "Free some space, run `llmos gc`, or move LLMOS_HOME to a larger disk."
    if usage.free < FAIL_FREE_BYTES:
        yield Finding("disk", "fail", detail, mend)
    elif usage.free < WARN_FREE_BYTES:
        yield Finding("disk", "warn", detail, mend)
    else:
        yield Finding("disk", "ok", detail)


def _check_database(rt: Runtime) -> Iterator[Finding]:
    name = rt.database.url.get_backend_name()
    try:
        with rt.database.reading() as db:
            if rt.database.is_sqlite:
                result = db.execute(text("PRAGMA quick_check")).scalar()
                if result != "ok":
                    yield Finding("database", "fail", f"SQLite says: {result}", "llmos restore BACKUP")
                    return
            db.execute(text("SELECT 1"))
    except Exception as error:  # the check's very purpose is to report any failure
        yield Finding("database", "fail", str(error).splitlines()[0], "Check LLMOS_DATABASE_URL.")
        return
    yield Finding("database", "ok", name)


def _check_clock(rt: Runtime) -> Iterator[Finding]:
    problems = list(list_clock_problems(rt))
    for detail, mend in problems:
        yield Finding("clock", "fail", detail, mend)
    if not problems:
        yield Finding("clock", "ok", to_json(now()))


def _check_secrets(rt: Runtime) -> Iterator[Finding]:
    path = rt.settings.home / "secrets" / "secret_key"
    if rt.settings.secret_key:
        yield Finding("secrets", "ok", "from LLMOS_SECRET_KEY")
    elif path.exists() and path.stat().st_mode & 0o077:
        yield Finding("secrets", "fail", f"{path} can be read by others", f"chmod 600 {path}")
    else:
        yield Finding("secrets", "ok", str(path))


def _check_instance_key(rt: Runtime) -> Iterator[Finding]:
    found = examine_key(rt)
    yield Finding("instance key", found.state, found.detail, found.mend)


def _check_sandbox(_rt: Runtime) -> Iterator[Finding]:
    if _version("bwrap", "--version") is None:
        yield Finding("sandbox", "warn", "bubblewrap is not installed", "apt-get install bubblewrap")
        return
    probe = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, timeout=10, check=False)
    if done.returncode:
        yield Finding(
            "sandbox",
            "warn",
            f"bubblewrap cannot make a sandbox: {done.stderr.strip()[:200]}",
            "Allow unprivileged user namespaces: sysctl kernel.unprivileged_userns_clone=1",
        )
    else:
        yield Finding("sandbox", "ok", "bubblewrap works")


def _check_conversion(rt: Runtime) -> Iterator[Finding]:
    """LFS uploads on their way into chunks."""
    from llmos.features.repos.xet_conversion import count_due
    from llmos.features.storage.xet.convert import can_convert
    from llmos.features.storage.xet.convert_state import MAX_ATTEMPTS, sum_states

    try:
        with rt.database.reading() as db:
            waiting, waiting_bytes = count_due(db, rt)
            states = {item.state: item.object_count for item in sum_states(db)}
    except SQLAlchemyError:
        return  # the check of the database has said what is wrong
    why_not = can_convert(rt)
    detail = f"off: {why_not}" if why_not else f"{waiting} waiting ({waiting_bytes / GIB:.1f} GiB)"
    failed = states.pop("failed", 0)
    detail = ", ".join([detail, *(f"{count} {state}" for state, count in sorted(states.items()))])
    if failed:
        mend = f"See the worker's log; each is tried {MAX_ATTEMPTS} times and stays as it is."
        yield Finding("LFS to chunks", "warn", f"{detail}, {failed} failed", mend)
    else:
        yield Finding("LFS to chunks", "ok", detail)


def _check_training(rt: Runtime) -> Iterator[Finding]:
    progress = read_progress(rt.settings.home)
    if os.environ.get("LLMOS_EXTRAS") == "hub":
        yield Finding("training side", "ok", "left out (LLMOS_EXTRAS=hub)")
    elif progress.state == "running":
        yield Finding(
            "training side", "warn", f"{progress.step} ({progress.share:.0%})", "It goes on by itself."
        )
    elif progress.state == "failed":
        last = progress.error.splitlines()[-1] if progress.error else "it failed"
        yield Finding("training side", "fail", last, "make setup-lab")
    elif progress.state == "stopped":
        yield Finding("training side", "warn", f"stopped at: {progress.step}", "make up, or make setup-lab")
    elif progress.state == "done":
        yield Finding("training side", "ok", "installed")
    else:
        yield Finding("training side", "warn", "not installed", "make setup-lab")
