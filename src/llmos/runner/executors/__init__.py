"""Ways to run a job, which all look the same from outside: sandbox, container engine, Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from llmos.runner.limits import Outcome
from llmos.runner.machine import Machine

Inputs = list[tuple[dict[str, Any], Path]]


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


class Executor(Protocol):
    """`name` is the word in `wire.runners.RunnerHello.executors`."""

    name: str
    machine: Machine

    def takes(self, spec: dict[str, Any]) -> bool: ...
    def prepare(
        self, spec: dict[str, Any], share: Share, folder: Path, inputs: Inputs, events_fd: int
    ) -> Running: ...
