"""Makes the command line of bubblewrap: what a job sees of the machine, and with which powers.

Two ways. As root, the mounts are made by root and the job becomes a user of its own that owns
nothing else on the machine. As anybody else, a user namespace does both; the job then is "the same
user" to the kernel, but sees none of that user's files.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from llmos.runner.limits import Plan

# The range systemd keeps for users that exist only while a service runs.
FIRST_UID, UIDS, _SLOTS = 61184, 4000, 16
_INNER_UID = 1000
_SHM_SHARE = 4  # /dev/shm may take a quarter of the memory
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ETC = (
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "timezone", "mime.types",
    "ssl/certs", "ssl/openssl.cnf", "ca-certificates", "pki/tls/certs", "pki/ca-trust",
    "python3", "python3.11", "magic",
)  # fmt: skip
_ETC_NETWORK = ("resolv.conf", "nsswitch.conf", "gai.conf", "services", "protocols", "host.conf")
_BASE = (
    "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent",
    "--new-session", "--hostname", "job",
)  # fmt: skip
_ROOT_CAPS = ("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID",
              "--cap-add", "CAP_SETPCAP")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Isolation:
    """How jobs can be shut in on this machine; `way` is `root`, `user` or "" with the reason."""

    way: str
    reason: str = ""


@lru_cache
def probe_isolation() -> Isolation:
    """Try the real thing once. Never raises."""
    if sys.platform != "linux":
        return Isolation("", "job isolation needs Linux")
    if shutil.which("bwrap") is None:
        return Isolation("", "bubblewrap is not installed (apt-get install bubblewrap)")
    ways = ["root", "user"] if os.getuid() == 0 and shutil.which("setpriv") else ["user"]
    reason = ""
    for way in ways:
        command = [*_entry(way, network=False), *_system_mounts(), "--proc", "/proc", "--dev", "/dev",
                   "--", *_become(way, FIRST_UID), "/bin/true"]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.SubprocessError) as error:
            reason = str(error)
            continue
        if done.returncode == 0:
            return Isolation(way)
        reason = done.stderr.strip()[:200]
    return Isolation("", f"bubblewrap cannot make a sandbox here: {reason}")


def _entry(way: str, *, network: bool) -> list[str]:
    out = ["bwrap", *_BASE, *([] if network else ["--unshare-net"])]
    if way == "root":
        return [*out, *_ROOT_CAPS]
    return [*out, "--unshare-user", "--uid", str(_INNER_UID), "--gid", str(_INNER_UID)]


def _become(way: str, uid: int) -> list[str]:
    if way != "root":
        return []
    return ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--no-new-privs",
            "--bounding-set=-all", "--inh-caps=-all", "--"]  # fmt: skip


def _system_mounts() -> list[str]:
    out = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = Path("/") / name
        if path.is_symlink():
            out += ["--symlink", os.readlink(path), str(path)]
        elif path.exists():
            out += ["--ro-bind", str(path), str(path)]
    return out


def job_uid(way: str, slot: int, root: Path) -> int:
    """The user a job in this slot runs as, seen from the machine; the same for a runner's folder."""
    if way != "root":
        return os.getuid()
    return FIRST_UID + (zlib.crc32(str(root).encode()) % (UIDS // _SLOTS)) * _SLOTS + slot % _SLOTS


def build_command(plan: Plan, way: str, uid: int, *, fds: dict[str, int]) -> list[str]:
    """The whole command line. `fds` are open for bubblewrap: env, passwd, group, info, block, seccomp.

    The environment travels as a file that a shell reads once no power is left: as variables of
    bubblewrap itself, an LD_PRELOAD would run in it.
    """
    inner = uid if way == "root" else _INNER_UID
    out = _entry(way, network=plan.network)
    out += [*_system_mounts(), *_folders(plan), *_etc(plan.network)]
    out += ["--perms", "0444", "--ro-bind-data", str(fds["env"]), "/run/llmos/env"]
    out += ["--perms", "0444", "--ro-bind-data", str(fds["passwd"]), "/etc/passwd"]
    out += ["--perms", "0444", "--ro-bind-data", str(fds["group"]), "/etc/group"]
    out += ["--proc", "/proc", "--dev", "/dev"]
    for device in plan.devices:
        out += ["--dev-bind", str(device), str(device)]
    out += ["--perms", "1777", "--size", str(max(plan.limits.memory_bytes // _SHM_SHARE, 1 << 20))]
    out += ["--tmpfs", "/dev/shm"]
    out += ["--bind", str(plan.box / "job"), "/job", "--bind", str(plan.box / "tmp"), "/tmp"]
    for mount in sorted(plan.mounts, key=lambda item: item.target.count("/")):
        out += ["--ro-bind" if mount.read_only else "--bind", str(mount.source), mount.target]
    for folder in _covered(plan):
        out += ["--tmpfs", folder, "--remount-ro", folder]
    out += ["--symlink", "/tmp", "/var/tmp", "--remount-ro", "/dev", "--remount-ro", "/"]
    out += ["--info-fd", str(fds["info"]), "--block-fd", str(fds["block"])]
    if "seccomp" in fds:
        out += ["--seccomp", str(fds["seccomp"])]
    out += ["--chdir", "/", "--", *_become(way, inner)]
    # Only the job's own user may enter the folder, so that user changes to it.
    script = '. /run/llmos/env; cd "$0" && exec "$@"'
    return [*out, "/bin/sh", "-c", script, plan.cwd, *plan.command]


def _folders(plan: Plan) -> list[str]:
    """What leads to the mounts: made by itself, bubblewrap's are closed to the job's user."""
    ways = {parent for mount in plan.mounts for parent in Path(mount.target).parents}
    made = {"/etc", "/etc/ssl", "/etc/pki", "/run/llmos", "/var", *map(str, ways)}
    wanted = [path for path in made if path.split("/")[1] not in ("", "job", "tmp", "usr", "dev")]
    return [arg for path in sorted(wanted) for arg in ("--perms", "0755", "--dir", path)]


def _etc(network: bool) -> list[str]:
    out: list[str] = []
    for name in (*_ETC, *(_ETC_NETWORK if network else ())):
        path = Path("/etc") / name
        if path.exists():
            out += ["--ro-bind", str(path.resolve()), str(path)]
    out += ["--ro-bind-try", "/etc/hosts", "/etc/hosts"]
    return out


def _covered(plan: Plan) -> Iterator[str]:
    """The folders of `hide` that lie at or below something that is mounted at its own place."""
    shown = [Path("/usr"), *(m.source for m in plan.mounts if str(m.source) == m.target)]
    for folder in plan.hide:
        if any(folder == top or top in folder.parents for top in shown) and folder.is_dir():
            yield str(folder)


def env_script(env: dict[str, str]) -> bytes:
    """A shell script that sets the environment; names that no shell takes are left out."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in env.items() if _NAME.fullmatch(name)]
    return ("\n".join(lines) + "\n").encode()


def user_files(way: str, uid: int) -> tuple[bytes, bytes]:
    """/etc/passwd and /etc/group as the job sees them."""
    inner = uid if way == "root" else _INNER_UID
    passwd = f"root:x:0:0:root:/:/bin/false\njob:x:{inner}:{inner}:job:/job:/bin/sh\n"
    return passwd.encode(), f"root:x:0:\njob:x:{inner}:\n".encode()
