"""The runner: asks its hub for jobs and runs them, until told to stop.

One thread asks; every job has a thread of its own, and one that reports. After a restart the runner
gives back what an earlier process of it held, so that nobody waits for a lease to run out.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import platform
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from llmos.client.runner_api import Refused, RunnerApi, Unreachable
from llmos.runner.attempt import Attempt, remove_tree
from llmos.runner.engine_slots import EngineSlots
from llmos.runner.executors import Executor, Share
from llmos.runner.machine import Machine, find_lab, free_disk_bytes, load_of_machine
from llmos.runner.reporter import Reporter
from llmos.runner.spool import Spool

log = logging.getLogger("llmos.runner")

CLAIM_WAIT_S = 20.0
_MAX_BACK_OFF_S = 15.0
_RECOVER_LIMIT_S = 10.0
_MEMORY_SHARE = 0.8  # of the machine's memory, for all jobs together
SERVE_SHARE = 0.6  # for all engines together, unless somebody says otherwise


class NotWelcome(Exception):
    """The hub refuses this runner for good; the text says why and what to do."""


class AlreadyRunning(Exception):
    """Another process uses this folder."""


@dataclass
class Agent:
    """`root` is the runner's folder: caches, links to tools, and what a job has while it runs."""

    api: RunnerApi
    name: str
    root: Path
    machine: Machine
    executors: Sequence[Executor]
    labels: dict[str, str] = field(default_factory=dict)
    slots: int = 1
    hub_python: Path | None = None
    once: bool = False
    # What the cluster has that this runner gives its jobs to; None: they run on this machine.
    cluster: dict[str, Any] | None = None
    version: str = ""
    engine_slots: int = 0
    # For all engines together; 0: `SERVE_SHARE` of the machine's.
    serve_memory_bytes: int = 0
    _engines: EngineSlots | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _release: threading.Event = field(default_factory=threading.Event)
    _attempts: dict[int, tuple[Attempt, threading.Thread]] = field(default_factory=dict)
    _free: threading.Condition = field(default_factory=threading.Condition)
    # slot -> the number of the attempt in it; 0 while a claim for it is on its way
    _busy: dict[int, int] = field(default_factory=dict)
    _count: int = 0
    _lock_file: IO[str] | None = None

    def stop(self) -> None:
        """Ask for no more jobs; `run` returns once the present ones have ended."""
        self._stop.set()
        with self._free:
            self._free.notify_all()
        if self._engines is not None:
            # A model that is wanted again is loaded elsewhere: nobody has to wait for an engine to end.
            self._engines.release()

    def release(self) -> None:
        """Give the present jobs back, too: each gets a moment to save what it has."""
        self._release.set()
        self.stop()
        for attempt, _ in list(self._attempts.values()):
            attempt.release.set()

    @property
    def is_busy(self) -> bool:
        return bool(self._attempts) or (self._engines is not None and self._engines.is_busy)

    def run(self) -> None:
        """Block until stopped. Raises NotWelcome, AlreadyRunning."""
        self._open_root()
        self._recover()
        serving = self._prepare_serving()
        self._introduce()
        if serving is not None:
            serving.start()
        while not self._stop.is_set():
            slot = self._wait_for_slot()
            if slot is None:
                break
            claim = self._claim(slot)
            if claim is None:
                self._free_slot(slot, 0)
            else:
                self._launch(claim, slot)
                if self.once:
                    break
        for _, thread in list(self._attempts.values()):
            thread.join()
        if serving is not None:
            serving.join()
        self.api.close()

    def _prepare_serving(self) -> threading.Thread | None:
        """What asks for engines beside the jobs, in a thread of its own."""
        if not self.engine_slots or self.cluster is not None or self.once:
            return None
        self._engines = EngineSlots(
            api=self.api,
            root=self.root,
            executor=self.executors[0],
            hello=self.hello,
            count=self.engine_slots,
            memory_bytes=self.serve_memory_bytes or int(self.machine.memory_bytes * SERVE_SHARE),
            hub_python=lambda: self.hub_python,
        )
        if self._stop.is_set():
            self._engines.stop()
        return threading.Thread(target=self._engines.run, name="engines")

    def _look_for_lab(self) -> None:
        """The training side may have been installed since this runner was started."""
        if self.machine.lab is None and (lab := find_lab()) is not None:
            self.machine = replace(self.machine, lab=lab)
            self.hub_python = self.hub_python or lab
            for executor in self.executors:
                executor.machine = self.machine

    def hello(self) -> dict[str, Any]:
        """What this machine has, as `wire.runners.RunnerHello`."""
        self._look_for_lab()
        cores, memory_bytes = len(self.machine.cores), int(self.machine.memory_bytes * _MEMORY_SHARE)
        gpu_memory = min((gpu.memory_bytes for gpu in self.machine.gpus), default=0)
        total = {
            "cores": cores,
            "memory_bytes": memory_bytes,
            "gpus": len(self.machine.gpus),
            "gpu_memory_bytes": gpu_memory,
            "disk_bytes": free_disk_bytes(self.root),
        }
        share = self._share(0)
        free = {
            "cores": len(share.cores),
            "memory_bytes": share.memory_bytes,
            "gpus": len(share.gpus),
            "gpu_memory_bytes": gpu_memory,
            "disk_bytes": share.disk_bytes,
        }
        if self.cluster is not None:
            total |= self.cluster
            free |= self.cluster
        known = {"os": platform.system().lower(), "arch": platform.machine()}
        if any(executor.name == self.machine.containers for executor in self.executors):
            known["engine"] = self.machine.containers
        return {
            "name": self.name,
            "labels": known | self.labels,
            "resources": total,
            "free": free,
            "engines": self.machine.engines,
            "executors": [executor.name for executor in self.executors],
            "kinds": self._kinds(),
            "version": self.version,
            "load": load_of_machine(),
            "serving": self._engines.describe() if self._engines is not None else None,
            # The slot that asks is free; jobs that only say their last words do not count either.
            "running": sum(number > 0 for number in self._busy.values()),
        }

    def _kinds(self) -> list[str]:
        if self.cluster is not None:
            return ["recipe"]
        return ["command", "recipe"] if self.machine.lab else ["command"]

    def _share(self, slot: int) -> Share:
        machine = self.machine
        slots = max(self.slots, 1)
        cores = machine.cores[slot::slots] or machine.cores
        return Share(
            slot=slot,
            cores=cores,
            memory_bytes=int(machine.memory_bytes * _MEMORY_SHARE / slots),
            disk_bytes=free_disk_bytes(self.root) // slots,
            gpus=tuple(gpu.index for gpu in machine.gpus)[slot::slots],
        )

    def _open_root(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)
        for name in ("jobs", "cache/hub", "tools"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        # Links to tools may lead to programs that are gone since.
        remove_tree(self.root / "tools")
        self._lock_file = (self.root / "lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock_file.close()
            raise AlreadyRunning(
                f"another runner uses {self.root}: give this one a folder of its own"
            ) from error

    def _recover(self) -> None:
        """Send the last words of jobs that an earlier process left, and give the jobs back."""
        for folder in sorted((self.root / "jobs").iterdir()):
            with contextlib.suppress(OSError, ValueError, KeyError):
                note = json.loads((folder / "attempt.json").read_text())
                spool = Spool(folder / "events.jsonl")
                reporter = Reporter(self.api, spool, note["job_id"], note["lease"])
                reporter.start()
                reporter.finish(
                    {"state": "released", "reason": "the runner was restarted"}, limit_s=_RECOVER_LIMIT_S
                )
                reporter.abandon()
                spool.close()
                log.info("gave job %s back", note["job_id"])
            remove_tree(folder)

    def _introduce(self) -> None:
        answer = self._call(lambda: self.api.hello(self.hello()))
        if answer:
            log.info(
                "runner %s is known to %s (%s, %s)",
                answer.get("name"),
                self.api.hub_url,
                answer.get("scope"),
                "trusted" if answer.get("trusted") else "not trusted: public recipes only",
            )

    def _wait_for_slot(self) -> int | None:
        with self._free:
            while not self._stop.is_set():
                for slot in range(self.slots):
                    if slot not in self._busy:
                        self._busy[slot] = 0
                        return slot
                self._free.wait()
        return None

    def _claim(self, slot: int) -> dict[str, Any] | None:
        return self._call(lambda: self.api.claim(self.hello(), wait_s=CLAIM_WAIT_S), once=True)

    def _call(self, call: Any, *, once: bool = False) -> dict[str, Any] | None:
        """Make a call until it is answered. Raises NotWelcome."""
        back_off_s = 0.5
        while not self._stop.is_set():
            try:
                found: dict[str, Any] | None = call()
                return found
            except Unreachable as error:
                wait_s = max(error.retry_after_s, back_off_s * random.uniform(0.7, 1.3))
                log.warning("%s; again in %.1f s", error, wait_s)
                self._stop.wait(wait_s)
                back_off_s = min(back_off_s * 2, _MAX_BACK_OFF_S)
            except Refused as error:
                if error.status in (401, 403):
                    raise NotWelcome(f"the hub does not accept this runner: {error}") from error
                raise NotWelcome(f"the hub does not understand this runner: {error}") from error
        return None

    def _launch(self, claim: dict[str, Any], slot: int) -> None:
        self._count += 1
        number, spec = self._count, claim["spec"]
        executor = next((e for e in self.executors if e.takes(spec)), self.executors[0])
        log.info(
            "job %s of %s (attempt %s) on %s", spec["job_id"], spec["owner"], spec["attempt"], executor.name
        )
        attempt = Attempt(
            claim=claim,
            api=self.api,
            executor=executor,
            share=self._share(slot),
            folder=self.root / "jobs" / f"{spec['job_id']}-{spec['attempt']}-{number}",
            root=self.root,
            hub_python=self.hub_python,
            on_end=lambda: self._free_slot(slot, number),
            release=threading.Event(),
        )
        if self._release.is_set():
            attempt.release.set()
        thread = threading.Thread(target=self._run_attempt, args=(number, attempt), name=spec["job_id"])
        self._attempts[number], self._busy[slot] = (attempt, thread), number
        thread.start()

    def _run_attempt(self, number: int, attempt: Attempt) -> None:
        try:
            attempt.run()
        finally:
            attempt.on_end()
            self._attempts.pop(number, None)

    def _free_slot(self, slot: int, number: int) -> None:
        """Only what holds the slot can free it: said twice, the second time means nothing."""
        with self._free:
            if self._busy.get(slot) == number:
                del self._busy[slot]
            self._free.notify_all()


def default_name() -> str:
    return os.environ.get("HOSTNAME") or platform.node() or "runner"
