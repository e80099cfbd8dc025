"""Ways to run a job, which all look the same from outside: sandbox, container engine, Ray cluster."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from llmos.runner import usage
from llmos.runner.limits import Limits, Outcome, human_bytes
from llmos.runner.machine import Machine

Inputs = list[tuple[dict[str, Any], Path]]


# Where the newest checkpoint of a job that goes on is laid.
RESUME_PATH = "/opt/resume"


class CannotRun(Exception):
    """This way cannot run that job; the text is for the person who sent it."""


@dataclass(frozen=True, slots=True)
class Share:
    """The part of the machine one job gets. `slot` numbers the jobs that may run at once."""

    slot: int
    cores: tuple[int, ...]
    memory_bytes: int
    disk_bytes: int
    gpus: tuple[int, ...] = ()


def limits_of(spec: dict[str, Any], share: Share, *, nice: int = 5) -> Limits:
    """At least what was asked for, which the hub has compared with what is free; else a fair share."""
    asked = spec.get("resources", {})
    return Limits(
        memory_bytes=max(share.memory_bytes, int(asked.get("memory_bytes", 0))),
        wall_s=float(spec["timeout_s"]),
        disk_bytes=max(share.disk_bytes, int(asked.get("disk_bytes", 0))),
        cores=share.cores,
        nice=nice,
    )


class Running(Protocol):
    """A program on its way. `box` holds its working folder as `job`."""

    started_at: float

    @property
    def gpu_indexes(self) -> tuple[int, ...]: ...
    @property
    def box(self) -> Path: ...
    def start(self, *, stdout: int, stderr: int, pass_fds: tuple[int, ...] = ()) -> None: ...
    def look(self) -> None: ...
    def ask_to_stop(self) -> None: ...
    def kill(self, cause: str, reason: str) -> None: ...
    def finish(self) -> Outcome: ...
    def memory_bytes(self) -> int: ...
    def disk_bytes(self) -> int: ...
    def cpu_s(self) -> float: ...
    def final_cpu_s(self) -> float: ...


def look_at_time_and_disk(running: Running, limits: Limits) -> usage.DiskUse:
    """Kill a program that passed its time or its disk; what it takes of the disk now."""
    if time.monotonic() - running.started_at > limits.wall_s:
        running.kill("timeout", f"the job reached its time limit of {limits.wall_s:.0f} s")
    use = usage.measure_disk(running.box, stop_at_bytes=limits.disk_bytes, stop_at_files=limits.files)
    if use.size_bytes > limits.disk_bytes:
        running.kill("disk", f"the job wrote more than its {human_bytes(limits.disk_bytes)} of disk")
    return use


class Executor(Protocol):
    """`name` is the word in `wire.runners.RunnerHello.executors`."""

    name: str
    machine: Machine

    def takes(self, spec: dict[str, Any]) -> bool: ...
    def prepare(
        self,
        spec: dict[str, Any],
        share: Share,
        folder: Path,
        inputs: Inputs,
        events_fd: int,
        channel_fd: int = -1,
    ) -> Running: ...
