"""Runs commands in the image they name, by podman or docker where the machine has one."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmos.runner import usage
from llmos.runner.bubblewrap import job_uid
from llmos.runner.executors import CannotRun, Inputs, Share, limits_of, look_at_time_and_disk
from llmos.runner.limits import Limits, Mount, Outcome, human_bytes
from llmos.runner.machine import Machine
from llmos.runner.programs import needs_container

PULL_POLICIES = ("missing", "never", "always")
LABEL = "llmos.runner"
_CLIENT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CALL_LIMIT_S = 60.0
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Engines read these as parts of a mount or of a file of variables.
_NOT_IN_PATHS = re.compile(r"[,:\n\r\"]")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-/:@]*")


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """One container. `uid` owns the working folder; `keep_id` maps that user into it (rootless podman)."""

    engine: str
    name: str
    owner: str
    image: str
    command: tuple[str, ...]
    env_file: Path
    box: Path
    limits: Limits
    uid: int
    mounts: tuple[Mount, ...] = ()
    gpus: tuple[int, ...] = ()
    network: bool = False
    keep_id: bool = False
    pull: str = "missing"
    open_files: int = 1024


def build_command(plan: ContainerPlan) -> list[str]:
    """The whole command line: no power, no network unless granted, nothing writable but /job and /tmp."""
    limits = plan.limits
    out = [plan.engine, "run", "--name", plan.name, "--label", f"{LABEL}={plan.owner}"]
    out += ["--pull", plan.pull, "--log-driver", "none", "--read-only", "--workdir", "/job"]
    out += ["--user", f"{plan.uid}:{plan.uid}", *(["--userns", "keep-id"] if plan.keep_id else [])]
    out += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    # Left out, an engine asks for more than this machine may allow.
    files, pids = plan.open_files, limits.pids
    for bound in ("core=0:0", f"nofile={files}:{files}", f"nproc={pids}:{pids}"):
        out += ["--ulimit", bound]
    out += ["--memory", str(limits.memory_bytes), "--memory-swap", str(limits.memory_bytes)]
    out += ["--shm-size", str(max(limits.memory_bytes // 4, 1 << 20)), "--pids-limit", str(limits.pids)]
    if limits.cores:
        out += ["--cpus", str(len(limits.cores))]
    out += [] if plan.network else ["--network", "none"]
    out += ["--env-file", str(plan.env_file)]
    inside = (Mount(plan.box / "job", "/job", False), Mount(plan.box / "tmp", "/tmp", False))
    for mount in (*inside, *plan.mounts):
        read_only = ",readonly" if mount.read_only else ""
        out += ["--mount", f"type=bind,source={mount.source},target={mount.target}{read_only}"]
    if plan.gpus and plan.engine == "docker":
        out += ["--gpus", f'"device={",".join(map(str, plan.gpus))}"']
    else:
        out += [arg for gpu in plan.gpus for arg in ("--device", f"nvidia.com/gpu={gpu}")]
    # The image's own entry point would change what the command means.
    return [*out, "--entrypoint", plan.command[0], "--", plan.image, *plan.command[1:]]


@dataclass
class ContainerExecutor:
    """`name` is the engine. Containers of an earlier process of this runner are removed at the start."""

    machine: Machine
    root: Path
    pull: str = "missing"

    def __post_init__(self) -> None:
        self.name = self.machine.containers
        self.owner = f"{zlib.crc32(str(self.root).encode()):08x}"

    def sweep(self) -> None:
        """End what a killed runner left behind: nobody would accept its results."""
        found = _call([self.name, "ps", "--all", "--quiet", "--filter", f"label={LABEL}={self.owner}"])
        for container in found.split():
            _call([self.name, "rm", "--force", container])

    def takes(self, spec: dict[str, Any]) -> bool:
        return spec["kind"] == "command" and needs_container(str(spec.get("image") or ""))

    def prepare(
        self,
        spec: dict[str, Any],
        share: Share,
        folder: Path,
        inputs: Inputs,
        events_fd: int,
        channel_fd: int = -1,
    ) -> Container:
        """Everything but the start. Raises CannotRun for what no engine can be told."""
        del events_fd  # docker hands no descriptors down
        command = (*spec.get("command", ()), *spec.get("arguments", ()))
        image = str(spec["image"])
        if not command or _IMAGE.fullmatch(image) is None:
            raise CannotRun("The job has no command." if not command else f"{image!r} names no image.")
        box, is_root = folder / "box", os.getuid() == 0
        uid = job_uid("root" if is_root else "user", share.slot, self.root)
        for name in ("job", "tmp"):
            (box / name).mkdir(parents=True, exist_ok=True)
            (box / name).chmod(0o700)
            if is_root:
                os.chown(box / name, uid, uid)
        plan = ContainerPlan(
            engine=self.name,
            name=f"llmos-{spec['job_id']}-{spec['attempt']}-{self.owner}",
            owner=self.owner,
            image=image,
            command=command,
            env_file=_write_env(folder / "env", _environment(spec)),
            box=box,
            limits=limits_of(spec, share),
            uid=uid,
            mounts=tuple(_mount(path, item) for item, path in inputs),
            gpus=share.gpus[: int(spec.get("resources", {}).get("gpus", 0))],
            network=bool(spec.get("network")),
            keep_id=self.name == "podman" and not is_root,
            pull=self.pull,
            open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        )
        return Container(plan)


def _mount(path: Path, item: dict[str, Any]) -> Mount:
    if _NOT_IN_PATHS.search(item["path"]) or _NOT_IN_PATHS.search(str(path)):
        raise CannotRun(f"files cannot be laid at {item['path']!r} in a container: use plain letters.")
    return Mount(path, item["path"], item.get("read_only", True))


def _environment(spec: dict[str, Any]) -> dict[str, str]:
    env = {"HOME": "/job", "LLMOS_JOB_ID": str(spec["job_id"]), "LLMOS_JOB_ATTEMPT": str(spec["attempt"])}
    if spec.get("network"):
        env["HF_ENDPOINT"] = str(spec["hub_url"])
        env |= {"HF_TOKEN": str(spec["token"])} if spec.get("token") else {}
    return {**env, **spec.get("environment", {}), **spec.get("secrets", {})}


def _write_env(path: Path, env: dict[str, str]) -> Path:
    """Variables travel in a file: in the engine's own environment an LD_PRELOAD would run outside."""
    lines = []
    for name, value in env.items():
        if _NAME.fullmatch(name) is None:
            continue
        if "\n" in value or "\r" in value or "\0" in value:
            raise CannotRun(f"the variable {name} holds a line break, which a container cannot be given.")
        lines.append(f"{name}={value}\n")
    path.touch(mode=0o600)
    path.write_text("".join(lines))
    return path


@dataclass
class Container:
    """A container on its way; `process` is the engine's client, which passes on what is printed."""

    plan: ContainerPlan
    started_at: float = 0.0
    process: subprocess.Popen[bytes] | None = None
    verdict: tuple[str, str] | None = None
    _disk: usage.DiskUse = field(default_factory=usage.DiskUse)

    @property
    def box(self) -> Path:
        return self.plan.box

    @property
    def gpu_indexes(self) -> tuple[int, ...]:
        return self.plan.gpus

    def start(self, *, stdout: int, stderr: int, pass_fds: tuple[int, ...] = ()) -> None:
        del pass_fds
        self.process = subprocess.Popen(
            build_command(self.plan),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=_client_env(),
            start_new_session=True,
        )
        self.started_at = time.monotonic()

    def look(self) -> None:
        """Check time and disk; memory and processes are the kernel's to bound."""
        if self.process is None or self.process.poll() is not None:
            return
        self._disk = look_at_time_and_disk(self, self.plan.limits)

    def ask_to_stop(self) -> None:
        _call([self.plan.engine, "kill", "--signal", "TERM", self.plan.name])

    def kill(self, cause: str, reason: str) -> None:
        """The first verdict counts. The client may be waiting for an image still."""
        self.verdict = self.verdict or (cause, reason)
        _call([self.plan.engine, "kill", self.plan.name])
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def finish(self) -> Outcome:
        if self.process is None:
            return Outcome("unstarted", None, "the container did not start")
        code = self.process.wait()
        format_ = "{{.State.OOMKilled}}"
        ran_out = _call([self.plan.engine, "inspect", "--format", format_, self.plan.name]).strip() == "true"
        _call([self.plan.engine, "rm", "--force", self.plan.name])
        limit = human_bytes(self.plan.limits.memory_bytes)
        if self.verdict is None and ran_out:
            self.verdict = ("memory", f"the job used more than its {limit} of memory")
        elif self.verdict is None and code == 128 + signal.SIGKILL:
            # Not every engine notices why; nobody else than the kernel kills this way.
            self.verdict = (
                "memory",
                f"the job was killed, it seems for using more than its {limit} of memory",
            )
        if self.verdict is not None:
            return Outcome(self.verdict[0], code, self.verdict[1])
        if code == 0:
            return Outcome("done", 0, "")
        # 125: the engine itself failed, and has said why in the log (no such image, no right).
        who = f"{self.plan.engine} could not run the image" if code == 125 else "the program ended"
        return Outcome("failed", code, f"{who} with exit code {code}")

    def memory_bytes(self) -> int:
        """Not known here: the engine counts it."""
        return 0

    def disk_bytes(self) -> int:
        return self._disk.size_bytes

    def cpu_s(self) -> float:
        return 0.0

    def final_cpu_s(self) -> float:
        return 0.0


def _client_env() -> dict[str, str]:
    kept = ("HOME", "XDG_RUNTIME_DIR", "DOCKER_HOST", "CONTAINER_HOST", "CONTAINERS_CONF", "LD_LIBRARY_PATH")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    return env | {"PATH": os.environ.get("PATH", _CLIENT_PATH)}


def _call(command: list[str]) -> str:
    """What the engine answers; "" when it does not."""
    if shutil.which(command[0], path=_client_env()["PATH"]) is None:
        return ""
    try:
        done = subprocess.run(
            command, env=_client_env(), capture_output=True, text=True, timeout=_CALL_LIMIT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout
