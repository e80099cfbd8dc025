"""Gives trainings to a Ray cluster. Its workers are not shut in: what runs there is our own trainer, on a
recipe, which is data and not a program. Commands never run this way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llmos
from llmos.runner import usage
from llmos.runner.executors import RESUME_PATH, CannotRun, Inputs, Share, limits_of, look_at_time_and_disk
from llmos.runner.limits import Limits, Outcome
from llmos.runner.machine import Machine, python_environment_prefixes
from llmos.runner.programs import name_inputs
from llmos.wire.contamination_recipe import is_contamination
from llmos.wire.evaluation_recipe import is_evaluation

LOST = 75  # `llmos.lab.cluster`: workers or cluster are gone
_ABOUT_LIMIT_S = 120.0


class NoCluster(Exception):
    """The cluster cannot be used; the text says why and what to do."""


@dataclass(frozen=True)
class Cluster:
    """`python` has Ray and the training side; `workers` 0: as many as are free when a job starts."""

    address: str
    python: Path
    workers: int = 0
    cores: int = 0
    memory_bytes: int = 0
    gpus: int = 0


def find_cluster(address: str, python: Path | None, workers: int) -> Cluster:
    """Ask the cluster what it has. Raises NoCluster."""
    if python is None:
        raise NoCluster("Ray is not installed beside the runner: make setup-ray.")
    command = [str(python), "-m", "llmos.lab.cluster", "--address", address, "--about"]
    env = _environment(python)
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=_ABOUT_LIMIT_S, check=False
        )
        found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
    except (OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
        raise NoCluster(f"The Ray cluster at {address} does not answer: {error}") from error
    if not found:
        raise NoCluster(done.stderr.strip()[-500:] or f"The Ray cluster at {address} does not answer.")
    return Cluster(
        address, python, workers,
        cores=int(found.get("CPU", 0)), memory_bytes=int(found.get("memory", 0)),
        gpus=int(found.get("GPU", 0)),
    )  # fmt: skip


@dataclass
class RayExecutor:
    machine: Machine
    cluster: Cluster
    name: str = "ray"

    def takes(self, spec: dict[str, Any]) -> bool:
        return bool(spec["kind"] == "recipe")

    def prepare(
        self,
        spec: dict[str, Any],
        share: Share,
        folder: Path,
        inputs: Inputs,
        events_fd: int,
        channel_fd: int = -1,
    ) -> RayRunning:
        """Everything but the start. Raises CannotRun for recipes that name files of the machine."""
        recipe = spec.get("recipe") or {}
        check_recipe(recipe, {f"{item['type']}:{item['repo']}" for item, _ in inputs})
        job = folder / "box" / "job"
        job.mkdir(parents=True, mode=0o700)
        (job / "recipe.json").write_text(json.dumps(recipe, ensure_ascii=False))
        python = self.cluster.python
        command = [
            str(python), "-m", "llmos.lab.cluster", str(job / "recipe.json"),
            "--address", self.cluster.address, "--workers", str(self.cluster.workers),
            "--output", "output", "--events", str(events_fd),
        ]  # fmt: skip
        resume = [path for item, path in inputs if item["path"] == RESUME_PATH]
        command += ["--resume", str(resume[0])] if resume else []
        laid = name_inputs((item, str(path)) for item, path in inputs)
        env = _environment(python) | laid | {"HOME": str(job)}
        return RayRunning(command, env, job.parent, limits_of(spec, share))


def check_recipe(recipe: dict[str, Any], laid: set[str]) -> None:
    """Refuse what is no training, or would read files of the cluster's machines. Raises CannotRun."""
    for what, is_it in (("evaluations", is_evaluation), ("contamination checks", is_contamination)):
        if is_it(recipe):
            raise CannotRun(
                f"This runner gives its jobs to a Ray cluster and takes trainings only, not {what}: "
                "send it to a runner without --ray."
            )
    data = recipe.get("data") or {}
    for part in ("sources", "validation"):
        for source in data.get(part) or ():
            if any(not str(name).startswith("sample:") for name in source.get("files") or ()):
                raise CannotRun(
                    f"data.{part}: on a Ray cluster data comes from data sets of the hub, not from files."
                )
    model, tokenizer = recipe.get("model") or {}, recipe.get("tokenizer") or {}
    for field_name, name in (("model.base", model.get("base")), ("tokenizer.from", tokenizer.get("from"))):
        if name and f"model:{name}" not in laid:
            raise CannotRun(f"{field_name}: {name} is no model of the hub that this job reads.")


def _environment(python: Path) -> dict[str, str]:
    package = Path(llmos.__path__[0])
    env = {key: value for key, value in os.environ.items() if key.startswith("RAY_")}
    env |= {
        name: os.environ[name] for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME") if name in os.environ
    }
    env |= {
        "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(Path.home()),
    }
    if not any(prefix in package.parents for prefix in python_environment_prefixes(python)):
        env["PYTHONPATH"] = str(package.parent)
    return env | {"PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


@dataclass
class RayRunning:
    """The process that steers a run on the cluster. When it ends, Ray ends the workers."""

    command: list[str]
    env: dict[str, str]
    box: Path
    limits: Limits
    started_at: float = 0.0
    gpu_indexes: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    verdict: tuple[str, str] | None = None
    _cpu_s: float = 0.0
    _disk: usage.DiskUse = field(default_factory=usage.DiskUse)

    def start(self, *, stdout: int, stderr: int, pass_fds: tuple[int, ...] = ()) -> None:
        # Nothing of the run survives a killed runner: somebody else has the job then.
        die_with_us = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        self.process = subprocess.Popen(
            [*die_with_us, *self.command],
            cwd=self.box / "job",
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        self.started_at = time.monotonic()

    def look(self) -> None:
        """Check time and disk; ends the run when a limit is passed."""
        if self.process is None or self.process.poll() is not None:
            return
        self.cpu_s()
        self._disk = look_at_time_and_disk(self, self.limits)

    def ask_to_stop(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self, cause: str, reason: str) -> None:
        """The first verdict counts."""
        self.verdict = self.verdict or (cause, reason)
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def finish(self) -> Outcome:
        if self.process is None:
            return Outcome("unstarted", None, "the run did not start")
        code = self.process.wait()
        if self.verdict is not None:
            return Outcome(self.verdict[0], code, self.verdict[1])
        if code == 0:
            return Outcome("done", 0, "")
        if code == LOST:
            return Outcome("lost", code, "the Ray cluster or its workers were lost")
        return Outcome("failed", code, f"the program ended with exit code {code}")

    def memory_bytes(self) -> int:
        """Of the steering process: what the workers use is Ray's to tell."""
        return usage.process_memory_bytes(self.process.pid) if self.process else 0

    def disk_bytes(self) -> int:
        return self._disk.size_bytes

    def cpu_s(self) -> float:
        if self.process is not None:
            self._cpu_s = max(self._cpu_s, usage.process_cpu_s(self.process.pid))
        return self._cpu_s

    def final_cpu_s(self) -> float:
        return self._cpu_s
