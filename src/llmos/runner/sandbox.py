"""A program shut in: started, watched, and ended as a whole.

What holds: namespaces of its own (processes, mounts, network, users, host name, IPC), the system
read-only, nothing of the hub's or the owner's files, a system-call filter, an end by wall clock that
takes every process with it. Memory and processes are bounded by control groups where this process
may make some. Otherwise: RLIMIT_DATA bounds each process, the sum is looked at four times a second,
and RLIMIT_NPROC counts the job's own user (which bounds nothing for root; therefore root's jobs get
a user each). Disk is bounded by RLIMIT_FSIZE for one file and by looking for the sum: a job may be
over for the moment between two looks. The choice of cores binds well-behaved programs; the
processor's share is enforced with control groups only.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from llmos.runner import bubblewrap, usage
from llmos.runner.cgroups import GroupMaker, JobGroup
from llmos.runner.limits import MIB, Limits, Mount, Outcome, Plan, human_bytes
from llmos.runner.seccomp import build_filter

LOOK_S = 0.25
_START_LIMIT_S = 20.0
_FREE_MEMORY_FLOOR_BYTES = 256 * MIB
_FREE_DISK_FLOOR_BYTES = 256 * MIB
_LOOK_SHARE = 0.05  # looking at the disk may take a twentieth of the time


class CannotIsolate(RuntimeError):
    """This machine cannot shut a job in; the text says why and what to do."""


@dataclass
class Sandbox:
    """Start with `start`; then call `look` every `LOOK_S` until `process` has ended, then `finish`.

    Must be started from a thread that lives as long as the job: the kernel ends the job when the
    thread that started it ends (so that nothing survives a killed runner).
    """

    plan: Plan
    maker: GroupMaker | None = None
    slot: int = 0
    gpu_indexes: tuple[int, ...] = ()
    way: str = ""
    process: subprocess.Popen[bytes] | None = None
    first_pid: int = 0
    group: JobGroup | None = None
    verdict: tuple[str, str] | None = None
    notes: dict[str, str] = field(default_factory=dict)
    started_at: float = 0.0
    disk: usage.DiskUse = field(default_factory=usage.DiskUse)
    _final_cpu_s: float = 0.0
    _first: int = -1
    _next_disk_look: float = 0.0
    _cpu_s: dict[int, float] = field(default_factory=dict)

    def start(self, *, stdout: int, stderr: int, pass_fds: tuple[int, ...] = ()) -> None:
        """Begin. Raises CannotIsolate; nothing has run then."""
        isolation = bubblewrap.probe_isolation()
        if not isolation.way:
            raise CannotIsolate(f"this machine cannot isolate jobs: {isolation.reason}")
        self.way = isolation.way
        uid = bubblewrap.job_uid(self.way, self.slot, self.plan.box.parents[2])
        self._make_box(uid)
        with contextlib.ExitStack() as stack:
            fds, info_read, block_write = self._open_fds(stack, uid)
            command = bubblewrap.build_command(self.plan, self.way, uid, fds=fds)
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env={"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"},
                pass_fds=(*fds.values(), *pass_fds),
                # A signal to the runner's group (Ctrl-C, a supervisor) is not meant for the job.
                start_new_session=True,
            )
            for fd in (fds.pop("info"), fds.pop("block")):
                os.close(fd)
            try:
                self.first_pid = _read_first_pid(info_read)
                self._first = os.pidfd_open(self.first_pid)
                self._bound()
                os.write(block_write, b"x")
            except (OSError, ValueError) as error:
                self.kill("unstarted", f"the sandbox did not start: {error}")
        self.started_at = time.monotonic()

    def look(self) -> None:
        """Check every limit; ends the job when one is passed."""
        if self.process is None or self.process.poll() is not None:
            return
        limits, now = self.plan.limits, time.monotonic()
        if now - self.started_at > limits.wall_s:
            self.kill("timeout", f"the job reached its time limit of {limits.wall_s:.0f} s")
            return
        self._look_at_processes(limits)
        if now >= self._next_disk_look:
            self._look_at_disk(limits)
            took = time.monotonic() - now
            self._next_disk_look = now + max(LOOK_S, took / _LOOK_SHARE)

    def kill(self, cause: str, reason: str) -> None:
        """End every process of the job at once. The first verdict counts."""
        self.verdict = self.verdict or (cause, reason)
        for pid in (self.first_pid, self.process.pid if self.process else 0):
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def ask_to_stop(self) -> None:
        """SIGTERM to every process of the job, so that it can save what it has."""
        for pid in self.pids():
            if pid != self.first_pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)

    def pids(self) -> list[int]:
        if self.group is not None and (found := self.group.pids()):
            return found
        return usage.list_family(self.first_pid) if self.first_pid else []

    @property
    def box(self) -> Path:
        return self.plan.box

    def disk_bytes(self) -> int:
        return self.disk.size_bytes

    def final_cpu_s(self) -> float:
        """Processor time of the whole job, once it is over."""
        return self._final_cpu_s

    def memory_bytes(self) -> int:
        if self.group is not None and self.group.has("memory"):
            return self.group.memory_bytes()
        return sum(usage.process_memory_bytes(pid) for pid in self.pids())

    def cpu_s(self) -> float:
        """Processor time so far, of processes that have ended, too."""
        counted = self.group.cpu_s() if self.group is not None else None
        if counted is not None:
            return counted
        for pid in self.pids():
            self._cpu_s[pid] = max(self._cpu_s.get(pid, 0.0), usage.process_cpu_s(pid))
        return sum(self._cpu_s.values())

    def finish(self) -> Outcome:
        """Wait for the last process, take the groups away, and say how it ended."""
        if self.process is None:
            return Outcome("unstarted", None, "the sandbox did not start")
        code = self.process.wait()
        self._wait_for_last()
        outcome = self._judge(code)
        self._final_cpu_s = self.cpu_s()
        if self.group is not None:
            self.group.remove()
        return outcome

    def _wait_for_last(self) -> None:
        """The first process is over when the kernel has ended all others; bubblewrap may be quicker."""
        if self._first >= 0:
            select.select([self._first], [], [], _START_LIMIT_S)
            os.close(self._first)
            self._first = -1

    def _make_box(self, uid: int) -> None:
        for name in ("job", "tmp"):
            folder = self.plan.box / name
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
            if self.way == "root":
                os.chown(folder, uid, uid)
        for mount in self.plan.mounts:
            self._make_mount_point(mount, uid)

    def _make_mount_point(self, mount: Mount, uid: int) -> None:
        """Inside the box bubblewrap would make folders that the job's user may not pass."""
        top, *parts = Path(mount.target).parts[1:]
        folder = self.plan.box / top
        for part in parts[: None if mount.source.is_dir() else -1] if top in ("job", "tmp") else ():
            folder /= part
            if not folder.exists():
                folder.mkdir(mode=0o755)
                if self.way == "root":
                    os.chown(folder, uid, uid)

    def _open_fds(self, stack: contextlib.ExitStack, uid: int) -> tuple[dict[str, int], int, int]:
        passwd, group = bubblewrap.user_files(self.way, uid)
        contents = {"env": bubblewrap.env_script(self.plan.env), "passwd": passwd, "group": group}
        if (rules := build_filter()) is not None:
            contents["seccomp"] = rules
        fds = {}
        for name, content in contents.items():
            fds[name] = os.memfd_create(f"llmos-{name}")
            stack.callback(os.close, fds[name])
            os.write(fds[name], content)
            os.lseek(fds[name], 0, os.SEEK_SET)
        info_read, fds["info"] = os.pipe()
        fds["block"], block_write = os.pipe()
        stack.callback(os.close, info_read)
        stack.callback(os.close, block_write)
        return fds, info_read, block_write

    def _bound(self) -> None:
        """Set every limit on the first process before it may run anything."""
        limits, pid = self.plan.limits, self.first_pid
        self.group = self.maker.make() if self.maker is not None else None
        if self.group is not None:
            self.group.limit(memory_bytes=limits.memory_bytes, pids=limits.pids + 1, cores=len(limits.cores))
            self.group.add(pid)
        bounds = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, limits.disk_bytes)]
        if self.group is None or not self.group.has("pids"):
            bounds.append((resource.RLIMIT_NPROC, limits.pids))
        # Drivers of GPUs map far more than they use.
        if (self.group is None or not self.group.has("memory")) and not self.plan.devices:
            bounds.append((resource.RLIMIT_DATA, limits.memory_bytes))
        for which, value in bounds:
            hard = resource.prlimit(pid, which)[1]
            low = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.prlimit(pid, which, (low, low))
        if limits.cores:
            with contextlib.suppress(OSError):  # a core may have gone offline
                os.sched_setaffinity(pid, limits.cores)
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, pid, limits.nice)
            Path(f"/proc/{pid}/oom_score_adj").write_text("600")

    def _look_at_processes(self, limits: Limits) -> None:
        group = self.group
        if group is not None and group.has("memory"):
            if group.memory_kills():
                self.kill("memory", _memory_reason(limits))
        elif self.memory_bytes() > limits.memory_bytes or (
            usage.free_memory_bytes() < _FREE_MEMORY_FLOOR_BYTES
        ):
            self.kill("memory", _memory_reason(limits))
        if group is not None and group.has("pids"):
            full = bool(group.pid_refusals())
        else:
            full = len(self.pids()) >= limits.pids
        if full:
            self.notes["pids"] = f"the job reached its limit of {limits.pids} processes and threads"

    def _look_at_disk(self, limits: Limits) -> None:
        self.disk = usage.measure_disk(
            self.plan.box, stop_at_bytes=limits.disk_bytes, stop_at_files=limits.files
        )
        used = self.disk.size_bytes + usage.deleted_bytes(self.pids())
        if self.disk.strange:
            self.kill("disk", f"the job {self.disk.strange}")
        elif used > limits.disk_bytes:
            self.kill("disk", f"the job wrote more than its {human_bytes(limits.disk_bytes)} of disk")
        elif self.disk.files > limits.files:
            self.kill("disk", f"the job made more than its {limits.files} files")
        elif shutil.disk_usage(self.plan.box).free < _FREE_DISK_FLOOR_BYTES:
            self.kill("disk", "the machine's disk is full")

    def _judge(self, code: int) -> Outcome:
        """Turn the exit code into words. 128 + n is bubblewrap's way to say: ended by signal n."""
        notes = tuple(self.notes.values())
        limits = self.plan.limits
        if self.verdict is None and self.group is not None and self.group.memory_kills():
            self.verdict = ("memory", _memory_reason(limits))
        if self.verdict is None and code == 128 + signal.SIGXFSZ:
            self.verdict = ("disk", f"the job wrote more than its {human_bytes(limits.disk_bytes)} of disk")
        if self.verdict is not None:
            return Outcome(self.verdict[0], code, self.verdict[1], notes)
        if code == 0:
            return Outcome("done", 0, "", notes)
        if self.group is not None and self.group.pid_refusals() and not notes:
            notes = (f"the job reached its limit of {limits.pids} processes and threads",)
        reason = f"the program ended with {_describe(code)}"
        return Outcome("failed", code, "; ".join((reason, *notes)), notes)


def _memory_reason(limits: Limits) -> str:
    return f"the job used more than its {human_bytes(limits.memory_bytes)} of memory"


def _describe(code: int) -> str:
    number = code - 128 if code > 128 else -code
    with contextlib.suppress(ValueError):
        if code < 0 or code > 128:
            return f"signal {signal.Signals(number).name}"
    return f"exit code {code}"


def _read_first_pid(fd: int) -> int:
    """The pid of the first process inside, which bubblewrap tells as JSON."""
    deadline, text = time.monotonic() + _START_LIMIT_S, b""
    while not text.rstrip().endswith(b"}") and time.monotonic() < deadline:
        part = os.read(fd, 4096)
        if not part:
            break
        text += part
    return int(json.loads(text)["child-pid"])
