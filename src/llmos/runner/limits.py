"""What a job may use, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

KIB, MIB, GIB = 1024, 1024**2, 1024**3


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one job. `cores` are the numbers of the cores it may run on; none: all of them.

    `pids` counts threads, too. `disk_bytes` covers all it may write to (working folder and /tmp),
    `files` the number of names there.
    """

    memory_bytes: int = 4 * GIB
    pids: int = 1024
    wall_s: float = 1800.0
    disk_bytes: int = 20 * GIB
    files: int = 500_000
    cores: tuple[int, ...] = ()
    nice: int = 5


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of the machine at `target` inside; read-only unless said otherwise."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """One program to run apart from the machine.

    `box` is an empty folder that becomes the working folder `/job` and `/tmp`. `hide` are folders
    of the machine that must never be seen even where a folder above them is. `devices` are device
    files (GPUs) to hand in.
    """

    command: tuple[str, ...]
    env: dict[str, str]
    box: Path
    limits: Limits
    mounts: tuple[Mount, ...] = ()
    hide: tuple[Path, ...] = ()
    devices: tuple[Path, ...] = ()
    network: bool = False
    cwd: str = "/job"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended.

    `cause` is `done` (exit code 0), `failed`, `timeout`, `memory`, `disk`, `killed` (by us, asked
    to) or `unstarted`; `reason` says it in words for the person who sent the job.
    """

    cause: str
    exit_code: int | None
    reason: str
    notes: tuple[str, ...] = field(default=())


def human_bytes(size_bytes: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} GiB"
