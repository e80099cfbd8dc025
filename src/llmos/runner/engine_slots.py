"""Room for engines beside the jobs of a runner: a training never holds up serving, nor serving a training."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmos.client.runner_api import Refused, RunnerApi, Unreachable
from llmos.runner.attempt import Attempt
from llmos.runner.executors import Executor, Share
from llmos.runner.machine import Machine, free_disk_bytes

log = logging.getLogger("llmos.runner")

_CLAIM_WAIT_S = 20.0
_MAX_BACK_OFF_S = 15.0
_DISK_SHARE = 8  # of what is free: an engine writes next to nothing
# Jobs have the first slots, and every slot a user of its own.
_FIRST_SLOT = 8
MAX_ENGINES = 8


@dataclass
class EngineSlots:
    """`hello` is what the runner says of itself; `memory_bytes` is for all engines together."""

    api: RunnerApi
    root: Path
    executor: Executor
    hello: Callable[[], dict[str, Any]]
    count: int
    memory_bytes: int
    hub_python: Callable[[], Path | None]
    _held: dict[int, tuple[Attempt, threading.Thread, int]] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _stop: threading.Event = field(default_factory=threading.Event)
    _number: int = 0

    @property
    def machine(self) -> Machine:
        return self.executor.machine

    def describe(self) -> dict[str, Any]:
        """As `wire.runners.Serving`."""
        held = [memory_bytes for _, _, memory_bytes in self._held.values()]
        return {
            "slots": self.count,
            "free_slots": max(self.count - len(held), 0),
            "memory_bytes": self.memory_bytes,
            "free_memory_bytes": max(self.memory_bytes - sum(held), 0),
            "engines": self.machine.serving,
        }

    def run(self) -> None:
        """Take engines until stopped, then wait for those that run."""
        back_off_s = 0.5
        while not self._stop.is_set():
            slot = self._wait_for_slot()
            if slot is None:
                break
            try:
                claim = self.api.claim(self.hello() | {"kinds": ["engine"]}, wait_s=_CLAIM_WAIT_S)
                back_off_s = 0.5
            except Unreachable as error:
                self._stop.wait(max(error.retry_after_s, back_off_s))
                back_off_s = min(back_off_s * 2, _MAX_BACK_OFF_S)
                continue
            except Refused as error:
                # The other loop says whether the runner is welcome; an older hub serves no models.
                log.warning("the hub gives this runner no engines: %s", error)
                break
            if claim is not None:
                self._launch(claim, slot)
        for _, thread, _ in list(self._held.values()):
            thread.join()
        self.api.close()

    def stop(self) -> None:
        """No more engines; those that run go on."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def release(self) -> None:
        """End the engines, too: what they hold can be loaded again."""
        self.stop()
        for attempt, _, _ in list(self._held.values()):
            attempt.release.set()

    @property
    def is_busy(self) -> bool:
        return bool(self._held)

    def _wait_for_slot(self) -> int | None:
        with self._changed:
            while not self._stop.is_set():
                if self.machine.serving:
                    for slot in range(self.count):
                        if slot not in self._held:
                            return slot
                    self._changed.wait()
                else:
                    # The training side may still be on its way.
                    self._changed.wait(10)
                    self.hello()
        return None

    def _launch(self, claim: dict[str, Any], slot: int) -> None:
        spec = claim["spec"]
        self._number += 1
        asked = int(spec.get("resources", {}).get("memory_bytes", 0))
        log.info("engine %s of %s", spec["job_id"], spec["owner"])
        attempt = Attempt(
            claim=claim,
            api=self.api,
            executor=self.executor,
            share=self._share(slot, asked),
            folder=self.root / "jobs" / f"{spec['job_id']}-{spec['attempt']}-e{self._number}",
            root=self.root,
            hub_python=self.hub_python(),
            on_end=lambda: self._free(slot),
        )
        if self._stop.is_set():
            attempt.release.set()
        thread = threading.Thread(target=self._run_attempt, args=(attempt, slot), name=spec["job_id"])
        self._held[slot] = (attempt, thread, asked)
        thread.start()

    def _share(self, slot: int, memory_bytes: int) -> Share:
        machine = self.machine
        return Share(
            slot=_FIRST_SLOT + slot,
            cores=machine.cores,
            memory_bytes=memory_bytes,
            disk_bytes=free_disk_bytes(self.root) // _DISK_SHARE,
            gpus=self._gpus(),
        )

    def _gpus(self) -> tuple[int, ...]:
        """All there are, those that the fewest engines have first: an engine takes as many as it asks for."""
        taken = [index for attempt, _, _ in list(self._held.values()) for index in _taken(attempt)]
        return tuple(sorted((gpu.index for gpu in self.machine.gpus), key=taken.count))

    def _run_attempt(self, attempt: Attempt, slot: int) -> None:
        try:
            attempt.run()
        finally:
            self._free(slot, attempt)

    def _free(self, slot: int, attempt: Attempt | None = None) -> None:
        with self._changed:
            held = self._held.get(slot)
            if held is not None and attempt in (None, held[0]):
                del self._held[slot]
            self._changed.notify_all()


def _taken(attempt: Attempt) -> tuple[int, ...]:
    asked = attempt.claim["spec"].get("resources", {}).get("gpus", 0)
    return attempt.share.gpus[: int(asked)]
