"""Running a program in the sandbox as the agent does."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from llmos.runner.bubblewrap import probe_isolation
from llmos.runner.cgroups import GroupMaker
from llmos.runner.limits import MIB, Limits, Mount, Outcome, Plan
from llmos.runner.sandbox import LOOK_S, Sandbox


@dataclass
class Ran:
    outcome: Outcome
    output: str
    took_s: float
    box: Path


RunInside = Callable[..., Ran]


@pytest.fixture(params=["groups", "limits only"])
def run_inside(request: pytest.FixtureRequest, tmp_path: Path) -> RunInside:
    """Runs a Python program shut in; once with control groups, once as where there are none."""
    if problem := probe_isolation().reason:
        pytest.skip(problem)
    maker = GroupMaker() if request.param == "groups" else None
    if maker is not None and not {"memory", "pids"} <= set(maker.controllers):
        pytest.skip(f"control groups may not be made here for memory and processes, only {maker.controllers}")

    def run(code: str, *, mounts: tuple[Mount, ...] = (), hide: tuple[Path, ...] = (),
            network: bool = False, env: dict[str, str] | None = None, **limits: float) -> Ran:  # fmt: skip
        bounds = {"memory_bytes": 200 * MIB, "pids": 40, "wall_s": 20, "disk_bytes": 32 * MIB} | limits
        plan = Plan(
            command=("/usr/bin/python3", "-c", code),
            env={"PATH": "/usr/bin:/bin"} | (env or {}),
            box=tmp_path / "box",
            limits=Limits(**bounds),  # type: ignore[arg-type]
            mounts=mounts,
            hide=hide,
            network=network,
        )
        sandbox = Sandbox(plan, maker)
        ran = watch(sandbox)
        assert (maker is None) == (sandbox.group is None), "the groups, or none of them, were under test"
        return ran

    return run


def watch(sandbox: Sandbox) -> Ran:
    read, write = os.pipe()
    started = time.monotonic()
    sandbox.start(stdout=write, stderr=write)
    os.close(write)
    output = b""
    while True:
        ready, _, _ = select.select([read], [], [], LOOK_S)
        sandbox.look()
        if ready:
            part = os.read(read, 65536)
            if not part:
                break
            output = (output + part)[-20_000:]
    os.close(read)
    outcome = sandbox.finish()
    return Ran(outcome, output.decode(errors="replace"), time.monotonic() - started, sandbox.plan.box)
