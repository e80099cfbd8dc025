"""What the processes of a job use, read from /proc; and what they have written."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def list_family(pid: int) -> list[int]:
    """`pid` and everything below it. In a pid namespace orphans stay below its first process."""
    out = [pid]
    for parent in out:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{parent}/task"):
                with contextlib.suppress(OSError):
                    text = Path(f"/proc/{parent}/task/{task}/children").read_text()
                    out.extend(int(child) for child in text.split())
    return out


def process_memory_bytes(pid: int) -> int:
    """Memory of a process that stands in no file; pages kept since a fork count in each process."""
    try:
        resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
        return max(int(resident) - int(shared), 0) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0


def process_cpu_s(pid: int) -> float:
    """Processor time of a process and of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) / _TICKS
    except (OSError, IndexError, ValueError):
        return 0.0


def free_memory_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


@dataclass
class DiskUse:
    """`strange` says what makes the count impossible: then the job must not go on."""

    size_bytes: int = 0
    files: int = 0
    strange: str = ""


def measure_disk(box: Path, *, stop_at_bytes: int, stop_at_files: int) -> DiskUse:
    """Disk taken by a folder that a hostile program writes to. Ends early above a bound."""
    use = DiskUse()
    folders = [str(box)]
    while folders and use.size_bytes <= stop_at_bytes and use.files <= stop_at_files:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    use.files += 1
                    with contextlib.suppress(FileNotFoundError):
                        facts = entry.stat(follow_symlinks=False)
                        use.size_bytes += facts.st_blocks * 512
                        if stat.S_ISDIR(facts.st_mode):
                            folders.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue  # it changes while we look
        except PermissionError:
            if not _open_up(folder):
                use.strange = "made a folder that cannot be looked into"
                break
            folders.append(folder)
        except OSError:
            use.strange = "nested folders too deeply"
            break
    return use


def _open_up(folder: str) -> bool:
    try:
        before = os.stat(folder).st_mode
        os.chmod(folder, 0o700)
    except OSError:
        return False
    return before & 0o700 != 0o700


def deleted_bytes(pids: list[int]) -> int:
    """Disk held by files that have no name any more but are still open."""
    return sum(size for pid in pids for size in _deleted_files(pid).values())


def _deleted_files(pid: int) -> dict[tuple[int, int], int]:
    found: dict[tuple[int, int], int] = {}
    for path in _open_files(pid):
        with contextlib.suppress(OSError):
            facts = os.stat(path)
            if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 0:
                found[facts.st_dev, facts.st_ino] = facts.st_blocks * 512
    return found


def _open_files(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            yield f"/proc/{pid}/fd/{name}"
