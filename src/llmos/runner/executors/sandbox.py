"""Runs a job in the sandbox of this machine, with its Pythons and its training side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos.runner.cgroups import GroupMaker
from llmos.runner.executors import RESUME_PATH, CannotRun, Inputs, Share, limits_of
from llmos.runner.limits import Mount, Plan
from llmos.runner.machine import Machine
from llmos.runner.programs import NoProgram, Program, needs_container, plan_command, plan_engine, plan_recipe
from llmos.runner.sandbox import Sandbox

_GPU_FILES = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")


@dataclass
class SandboxExecutor:
    """`hide` are folders no job may ever see: the hub's, the runner's own."""

    machine: Machine
    root: Path
    maker: GroupMaker | None
    hide: tuple[Path, ...] = ()
    nice: int = 5
    name: str = "sandbox"

    def takes(self, spec: dict[str, Any]) -> bool:
        return spec["kind"] != "command" or not needs_container(str(spec.get("image") or ""))

    def prepare(
        self,
        spec: dict[str, Any],
        share: Share,
        folder: Path,
        inputs: Inputs,
        events_fd: int,
        channel_fd: int = -1,
    ) -> Sandbox:
        """Everything but the start. Raises CannotRun."""
        box = folder / "box"
        (box / "job").mkdir(parents=True, exist_ok=True)
        program = self._program(spec, inputs, events_fd, channel_fd)
        for name, text in program.files:
            (box / "job" / name).write_text(text)
            (box / "job" / name).chmod(0o644)
        for cache in program.caches:
            _open_cache(cache.source / str(share.slot), self.root, share.slot)
        caches = [Mount(c.source / str(share.slot), c.target, read_only=False) for c in program.caches]
        laid = [Mount(path, item["path"], item.get("read_only", True)) for item, path in inputs]
        gpus = share.gpus[: int(spec.get("resources", {}).get("gpus", 0))]
        plan = Plan(
            command=program.command,
            env=program.env | {"LLMOS_EVENTS": str(events_fd)},
            box=box,
            # Somebody waits for each word of an engine: jobs give way to it.
            limits=limits_of(spec, share, nice=0 if spec["kind"] == "engine" else self.nice),
            mounts=(*program.mounts, *caches, *laid),
            hide=(*self.hide, self.root),
            devices=_gpu_devices(gpus),
            network=bool(spec.get("network")),
        )
        return Sandbox(plan, self.maker, slot=share.slot, gpu_indexes=gpus)

    def _program(self, spec: dict[str, Any], inputs: Inputs, events_fd: int, channel_fd: int) -> Program:
        try:
            if spec["kind"] == "engine":
                return plan_engine(spec, self.machine, channel_fd=channel_fd)
            if spec["kind"] == "recipe":
                resume = RESUME_PATH if spec.get("resume_from") else ""
                return plan_recipe(spec, self.machine, inputs, events_fd=events_fd, resume=resume)
            return plan_command(spec, self.machine, self.root)
        except NoProgram as error:
            raise CannotRun(str(error)) from error


def _open_cache(folder: Path, root: Path, slot: int) -> None:
    """A cache belongs to one owner and one slot: nobody else's job can have written into it."""
    import os

    from llmos.runner.bubblewrap import job_uid, probe_isolation

    folder.mkdir(parents=True, exist_ok=True)
    if (way := probe_isolation().way) == "root":
        uid = job_uid(way, slot, root)
        os.chown(folder, uid, uid)


def _gpu_devices(indexes: tuple[int, ...]) -> tuple[Path, ...]:
    if not indexes:
        return ()
    names = [*(f"nvidia{index}" for index in indexes), *_GPU_FILES]
    return tuple(path for name in names if (path := Path("/dev") / name).exists())
