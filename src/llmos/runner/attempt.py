"""One attempt at a job, from the claim to the state it ends in."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmos.client.runner_api import RunnerApi
from llmos.runner.checkpoints import CheckpointPublisher
from llmos.runner.energy import EnergyMeter
from llmos.runner.engines import EngineBridge
from llmos.runner.events import EventReader
from llmos.runner.executors import RESUME_PATH, CannotRun, Executor, Running, Share
from llmos.runner.lines import LineSplitter
from llmos.runner.machine import read_gpus
from llmos.runner.reporter import Reporter, system_line
from llmos.runner.sandbox import LOOK_S
from llmos.runner.spool import Spool
from llmos.runner.staging import NothingThere, digest_tree, stage
from llmos.runner.transfers import Stopped, TransferFailed, Transfers, check_mount_path

log = logging.getLogger("llmos.runner")

_SAMPLE_S, _FIRST_SAMPLE_S = 5.0, 1.0
_ENGINE_SAMPLE_S = 30.0  # an engine may run for months
_STOP_GRACE_S = 8.0
_READ_BYTES = 256 * 1024
# "lost": not the job's fault; the hub gives it to another runner.
_CAUSES = {"done": "succeeded", "timeout": "timed_out", "lost": "released"}


@dataclass
class Attempt:
    """Run it with `run` in a thread of its own.

    `release` set: give the job back as soon as it can be stopped. `on_end` is called once the
    program has ended and before the last words to the hub, so that the next job need not wait.
    """

    claim: dict[str, Any]
    api: RunnerApi
    executor: Executor
    share: Share
    folder: Path
    root: Path
    hub_python: Path | None
    on_end: Callable[[], None] = lambda: None
    release: threading.Event = field(default_factory=threading.Event)
    running: Running | None = None
    _stop_asked_at: float = 0.0
    _sample: dict[str, Any] = field(default_factory=dict)

    def run(self) -> None:
        spec = self.claim["spec"]
        self._begin()
        try:
            proposal = self._work(spec)
        except Stopped:
            proposal = self._stopped("")
        except (TransferFailed, CannotRun, NothingThere) as error:
            proposal = {"state": "failed", "reason": _cut(str(error))}
        except OSError as error:
            # This machine's trouble, not the job's: another runner may fare better.
            proposal = {"state": "released", "reason": _cut(f"the runner had a problem: {error}")}
        self.on_end()
        if self.reporter.lost.is_set():
            log.warning("job %s is no longer ours: %s", spec["job_id"], self.reporter.lost_reason)
        else:
            if proposal["state"] == "failed" and proposal.get("reason"):
                self.reporter.add([system_line(str(proposal["reason"]))])
            state = self.reporter.finish(proposal)
            log.info("job %s: %s", spec["job_id"], state or "lost")
        self.spool.close()
        remove_tree(self.folder)

    def _begin(self) -> None:
        self.folder.mkdir(parents=True, mode=0o700)
        note = {"job_id": self.claim["spec"]["job_id"], "lease": self.claim["lease"]}
        path = self.folder / "attempt.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(note))
        self.spool = Spool(self.folder / "events.jsonl")
        self.reporter = Reporter(self.api, self.spool, note["job_id"], note["lease"])
        self.reporter.start()

    @property
    def _sample_s(self) -> float:
        return _ENGINE_SAMPLE_S if self.claim["spec"]["kind"] == "engine" else _SAMPLE_S

    def _should_stop(self) -> bool:
        return self.reporter.cancel.is_set() or self.reporter.lost.is_set() or self.release.is_set()

    def _work(self, spec: dict[str, Any]) -> dict[str, Any]:
        transfers = Transfers(self.hub_python, spec, self.root / "cache" / "hub", self._should_stop)
        inputs = self._fetch(spec, transfers)
        bridge = self._make_bridge(spec)
        channel_fd = bridge.child.fileno() if bridge is not None else -1
        with contextlib.ExitStack() as stack:
            if bridge is not None:
                stack.callback(bridge.close)
            return self._run_program(spec, transfers, inputs, channel_fd, bridge)

    def _make_bridge(self, spec: dict[str, Any]) -> EngineBridge | None:
        if spec["kind"] != "engine":
            return None
        return EngineBridge(self.api, spec["job_id"], str(self.claim["lease"]["lease_token"]))

    def _run_program(
        self,
        spec: dict[str, Any],
        transfers: Transfers,
        inputs: list[tuple[dict[str, Any], Path]],
        channel_fd: int,
        bridge: EngineBridge | None,
    ) -> dict[str, Any]:
        events_read, events_write = os.pipe()
        handed = (events_write,) if channel_fd < 0 else (events_write, channel_fd)
        try:
            running = self.executor.prepare(spec, self.share, self.folder, inputs, events_write, channel_fd)
            self.running = running
            out_read, err_read = self._start(running, handed)
        finally:
            os.close(events_write)
        if bridge is not None:
            bridge.start()
        self.reporter.say_state("running")
        with CheckpointPublisher(spec, transfers, running.box, self.folder, self.reporter) as checkpoints:
            self._follow(running, out_read, err_read, events_read, checkpoints)
            outcome = running.finish()
        self._last_sample(running)
        self._put_back(spec, transfers, running.box)
        if self._should_stop():
            return self._stopped(outcome.reason)
        state = _CAUSES.get(outcome.cause, "failed")
        proposal: dict[str, Any] = {"state": state, "exit_code": outcome.exit_code}
        proposal["reason"] = _cut(outcome.reason)
        if state == "succeeded":
            proposal["outputs"] = self._publish(spec, transfers, running.box)
        return proposal

    def _stopped(self, reason: str) -> dict[str, Any]:
        if self.reporter.cancel.is_set():
            return {"state": "canceled", "reason": "canceled by a person"}
        return {"state": "released", "reason": _cut(reason or "the runner was stopped")}

    def _fetch(self, spec: dict[str, Any], transfers: Transfers) -> list[tuple[dict[str, Any], Path]]:
        found: list[tuple[dict[str, Any], Path]] = []
        wanted = list(spec.get("inputs", ()))
        if point := spec.get("resume_from"):
            resume = {**point, "path": RESUME_PATH, "sub_path": point.get("path", ""), "read_only": True}
            wanted.append(resume)
        if wanted:
            self.reporter.add([{"kind": "phase", "phase": "fetch inputs"}])
        for number, item in enumerate(wanted):
            check_mount_path(item["path"])
            # What may be written to lies in the box, whose size is watched.
            where = "inputs" if item.get("read_only", True) else "box/mounts"
            dest = self.folder / where / str(number)
            transfers.fetch(item, dest)
            found.append((item, dest))
        return found

    def _start(self, running: Running, handed: tuple[int, ...]) -> tuple[int, int]:
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        try:
            running.start(stdout=out_write, stderr=err_write, pass_fds=handed)
        finally:
            os.close(out_write)
            os.close(err_write)
        return out_read, err_read

    def _follow(
        self,
        running: Running,
        out_read: int,
        err_read: int,
        events_read: int,
        checkpoints: CheckpointPublisher,
    ) -> None:
        """Read all it prints until the last end of its pipes is closed, and keep watch."""
        splitters = {out_read: ("stdout", LineSplitter()), err_read: ("stderr", LineSplitter())}
        reader, meter = EventReader(), EnergyMeter()
        next_look, next_sample = time.monotonic() + LOOK_S, time.monotonic() + _FIRST_SAMPLE_S
        with selectors.DefaultSelector() as chooser:
            for fd in (out_read, err_read, events_read):
                chooser.register(fd, selectors.EVENT_READ)
            while chooser.get_map():
                for key, _ in chooser.select(max(next_look - time.monotonic(), 0)):
                    data = os.read(key.fd, _READ_BYTES)
                    if key.fd in splitters:
                        stream, splitter = splitters[key.fd]
                        lines = splitter.feed(data) if data else splitter.end()
                        self.reporter.add({"kind": "log", "stream": stream, "text": t} for t in lines)
                    elif data:
                        events, saved = reader.feed(data)
                        self.reporter.add(events)
                        checkpoints.publish(saved)
                    if not data:
                        chooser.unregister(key.fd)
                        os.close(key.fd)
                if (now := time.monotonic()) >= next_look:
                    self._look(running)
                    next_look = now + LOOK_S
                if now >= next_sample:
                    self._take_sample(running, meter)
                    next_sample = now + self._sample_s
        self._meter = meter
        if reader.bad:
            self.reporter.add([system_line(f"{reader.bad} events of the job could not be understood.")])

    def _look(self, running: Running) -> None:
        running.look()
        if not self._should_stop():
            return
        if not self._stop_asked_at and not self.reporter.lost.is_set():
            self._stop_asked_at = time.monotonic()
            running.ask_to_stop()
        elif time.monotonic() - self._stop_asked_at > _STOP_GRACE_S:
            running.kill("killed", "stopped")

    def _take_sample(self, running: Running, meter: EnergyMeter) -> None:
        now, cpu_s = time.monotonic(), running.cpu_s()
        before = self._sample.get("_cpu_s", 0.0), self._sample.get("_at", running.started_at)
        gpus = read_gpus(running.gpu_indexes) if running.gpu_indexes else None
        sample: dict[str, Any] = {
            "kind": "sample",
            "cpu": round(max(cpu_s - before[0], 0.0) / max(now - before[1], 1e-3), 3),
            "memory_bytes": running.memory_bytes(),
            "disk_bytes": running.disk_bytes(),
            "energy_wh": round(meter.add(cpu_s, gpus.watts if gpus else 0.0), 6),
            "energy_method": meter.method,
        }
        if gpus is not None:
            sample |= {"gpu": gpus.share, "gpu_memory_bytes": gpus.memory_bytes}
        self.reporter.add([sample])
        self._sample = sample | {"_cpu_s": cpu_s, "_at": now}

    def _last_sample(self, running: Running) -> None:
        """The energy of the whole job, also of one that ended before the first sample."""
        energy_wh = round(self._meter.add(running.final_cpu_s()), 6)
        shown = {key: value for key, value in self._sample.items() if not key.startswith("_")}
        last = {"kind": "sample", **shown, "cpu": 0, "energy_wh": energy_wh}
        self.reporter.add([last | {"energy_method": self._meter.method}])

    def _put_back(self, spec: dict[str, Any], transfers: Transfers, box: Path) -> None:
        """What a job changed in buckets it may write to."""
        for number, item in enumerate(spec.get("inputs", ())):
            if item.get("read_only", True) or self.reporter.lost.is_set():
                continue
            staged = self.folder / "stage" / f"back-{number}"
            with contextlib.suppress(NothingThere):
                stage(box, f"mounts/{number}", staged)
                transfers.publish(staged, item, message="", path_in_repo=item.get("sub_path", ""))

    def _publish(self, spec: dict[str, Any], transfers: Transfers, box: Path) -> list[dict[str, Any]]:
        made = []
        if spec.get("outputs"):
            self.reporter.add([{"kind": "phase", "phase": "publish"}])
        for number, output in enumerate(spec.get("outputs", ())):
            staged = self.folder / "stage" / str(number)
            left_out = stage(box / "job", output["path"], staged)
            if left_out:
                self.reporter.add([system_line(f"Not published, as no plain files: {', '.join(left_out)}")])
            if spec["kind"] == "recipe":
                # They are on a branch of their own, and three times the size of the model.
                for folder in staged.glob("checkpoint-*"):
                    remove_tree(folder)
            message = f"Results of job {spec['job_id']}"
            revision = transfers.publish(staged, output, message=message)
            made.append({
                "repo": output["repo"], "type": output["type"], "revision": revision,
                "digest": digest_tree(staged),
            })  # fmt: skip
        return made


def _cut(text: str) -> str:
    return text if len(text) <= 4000 else text[:3999] + "…"


def remove_tree(folder: Path) -> None:
    """Remove a folder whatever a job has made of it: deep, closed, large."""
    try:
        shutil.rmtree(folder)
    except (OSError, RecursionError):
        subprocess.run(["chmod", "-R", "u+rwx", str(folder)], check=False, capture_output=True)
        subprocess.run(["rm", "-rf", str(folder)], check=False, capture_output=True)
