"""Memory, process and processor limits by control groups, where this process may make some.

Version 2 needs a delegated group (systemd: `Delegate=yes`) or root; version 1 needs root. Where
neither is there, the sandbox falls back to resource limits and watching (see `sandbox`).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_V2_WANTED = ("memory", "pids", "cpu")
_V1_WANTED = ("memory", "pids", "cpu", "cpuacct")
_numbers = itertools.count()


class JobGroup:
    """The control groups of one job: `folders` maps a controller to its folder.

    Under version 2 all controllers share one folder. A limit whose controller is missing is not
    set; ask `has`.
    """

    def __init__(self, folders: dict[str, Path], *, unified: bool) -> None:
        self.folders = folders
        self.unified = unified

    def has(self, controller: str) -> bool:
        return controller in self.folders

    def limit(self, *, memory_bytes: int, pids: int, cores: float) -> None:
        """Set what can be set. `cores` 0 leaves the processor alone."""
        if self.unified:
            self._write("memory", "memory.max", memory_bytes)
            self._write("memory", "memory.swap.max", 0)
            self._write("memory", "memory.oom.group", 1)
            self._write("pids", "pids.max", pids)
            if cores:
                self._write("cpu", "cpu.max", f"{int(cores * 100_000)} 100000")
            return
        self._write("memory", "memory.limit_in_bytes", memory_bytes)
        self._write("memory", "memory.memsw.limit_in_bytes", memory_bytes)
        self._write("pids", "pids.max", pids)
        if cores:
            self._write("cpu", "cpu.cfs_quota_us", int(cores * 100_000))

    def add(self, pid: int) -> None:
        for folder in set(self.folders.values()):
            (folder / "cgroup.procs").write_text(str(pid))

    def pids(self) -> list[int]:
        for folder in self.folders.values():
            with contextlib.suppress(OSError, ValueError):
                return [int(line) for line in (folder / "cgroup.procs").read_text().split()]
        return []

    def memory_bytes(self) -> int:
        """Memory in use without the file cache, which the kernel gives back when it is needed."""
        name, prefix = ("memory.current", "") if self.unified else ("memory.usage_in_bytes", "total_")
        cached = sum(
            self._field("memory", "memory.stat", f"{prefix}{kind}_file") for kind in ("active", "inactive")
        )
        return max(self._number("memory", name) - cached, 0)

    def cpu_s(self) -> float | None:
        """Processor time of all processes so far, or None where nobody counts it."""
        if self.unified:
            return self._field("cpu", "cpu.stat", "usage_usec") / 1e6 if self.has("cpu") else None
        return self._number("cpuacct", "cpuacct.usage") / 1e9 if self.has("cpuacct") else None

    def memory_kills(self) -> int:
        """How many processes the kernel ended because the memory was used up."""
        if self.unified:
            return self._field("memory", "memory.events", "oom_kill")
        return self._field("memory", "memory.oom_control", "oom_kill")

    def pid_refusals(self) -> int:
        return self._field("pids", "pids.events", "max")

    def remove(self) -> None:
        """Remove the folders; the last process may take a moment to be gone."""
        for folder in set(self.folders.values()):
            for _ in range(100):
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.01)
                else:
                    break

    def _write(self, controller: str, name: str, value: object) -> None:
        folder = self.folders.get(controller)
        if folder is not None:
            # memsw and swap files exist only where the kernel counts swap.
            with contextlib.suppress(OSError):
                (folder / name).write_text(str(value))

    def _read(self, controller: str, name: str) -> str:
        folder = self.folders.get(controller)
        if folder is None:
            return ""
        try:
            return (folder / name).read_text()
        except OSError:
            return ""

    def _number(self, controller: str, name: str) -> int:
        text = self._read(controller, name).strip()
        return int(text) if text.isdigit() else 0

    def _field(self, controller: str, name: str, field: str) -> int:
        found = re.search(rf"^{field} (\d+)$", self._read(controller, name), re.M)
        return int(found.group(1)) if found else 0


class GroupMaker:
    """Finds out once where groups may be made; `make` answers None where they may not."""

    def __init__(self, root: Path = ROOT, own: str | None = None) -> None:
        self._own = Path("/proc/self/cgroup").read_text() if own is None else own
        self.unified = False
        self.parents = self._v1(root)
        if not {"memory", "pids"} <= self.parents.keys() and (found := self._v2(root)):
            self.parents, self.unified = found, True

    @property
    def controllers(self) -> list[str]:
        return sorted(self.parents)

    def make(self) -> JobGroup | None:
        name = f"llmos-job-{os.getpid()}-{next(_numbers)}"
        folders: dict[str, Path] = {}
        for controller, parent in self.parents.items():
            folder = parent / name
            with contextlib.suppress(OSError):
                folder.mkdir(exist_ok=True)
                folders[controller] = folder
        return JobGroup(folders, unified=self.unified) if folders else None

    def sweep(self) -> None:
        """Remove the groups of runners that are gone."""
        for parent in set(self.parents.values()):
            for folder in parent.glob("llmos-job-*"):
                owner = folder.name.split("-")[2]
                if not Path(f"/proc/{owner}").exists():
                    with contextlib.suppress(OSError):
                        folder.rmdir()

    def _v1(self, root: Path) -> dict[str, Path]:
        parents: dict[str, Path] = {}
        for line in self._own.splitlines():
            _, names, path = line.split(":", 2)
            for name in names.split(","):
                base = root / name
                for candidate in (base / path.lstrip("/"), base):
                    if name in _V1_WANTED and _can_make(candidate):
                        parents.setdefault(name, candidate)
        return parents

    def _v2(self, root: Path) -> dict[str, Path] | None:
        path = next((line[3:] for line in self._own.splitlines() if line.startswith("0::")), None)
        if path is None or not (root / "cgroup.controllers").exists():
            return None
        own = root / path.lstrip("/")
        if own != root and _is_delegated(own) and (found := _open_group(own, leave=True)):
            return found
        return _open_group(root, leave=False) if os.access(root, os.W_OK) else None


def _can_make(parent: Path) -> bool:
    probe = parent / f"llmos-probe-{os.getpid()}"
    try:
        probe.mkdir(exist_ok=True)
        probe.rmdir()
    except OSError:
        return False
    return True


def _is_delegated(group: Path) -> bool:
    if os.getuid() != 0:
        return os.access(group, os.W_OK) and os.access(group / "cgroup.procs", os.W_OK)
    with contextlib.suppress(OSError):
        return any(os.getxattr(group, name) == b"1" for name in ("trusted.delegate", "user.delegate"))
    return False


def _open_group(group: Path, *, leave: bool) -> dict[str, Path] | None:
    """Let groups below `group` have controllers; `leave`: its processes move to a leaf first.

    Version 2 allows processes only in groups that hand no controller down.
    """
    try:
        if leave:
            leaf = group / "main"
            leaf.mkdir(exist_ok=True)
            for pid in (group / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    (leaf / "cgroup.procs").write_text(pid)
        there = (group / "cgroup.subtree_control").read_text().split()
        for name in set((group / "cgroup.controllers").read_text().split()) & set(_V2_WANTED) - set(there):
            with contextlib.suppress(OSError):
                (group / "cgroup.subtree_control").write_text(f"+{name}")
        there = (group / "cgroup.subtree_control").read_text().split()
    except OSError:
        return None
    found = {name: group for name in _V2_WANTED if name in there}
    return found if "memory" in found or "pids" in found else None
