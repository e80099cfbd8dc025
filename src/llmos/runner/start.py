"""Puts a runner together from its options, and runs it until a signal ends it."""

from __future__ import annotations

import logging
import signal
import threading
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType

from llmos.client.runner_api import RunnerApi
from llmos.runner.agent import Agent, default_name
from llmos.runner.bubblewrap import probe_isolation
from llmos.runner.cgroups import GroupMaker
from llmos.runner.executors import Executor
from llmos.runner.executors.container import ContainerExecutor
from llmos.runner.executors.ray import NoCluster, RayExecutor, find_cluster
from llmos.runner.executors.sandbox import SandboxExecutor
from llmos.runner.machine import Machine, find_hub_python, find_lab, find_ray, inspect_machine

log = logging.getLogger("llmos.runner")

MAX_SLOTS = 4
DEFAULT_ENGINES = 4
_CORES_PER_SLOT = 4


class CannotStart(Exception):
    """No way to run jobs on this machine; the text says what to install or allow."""


@dataclass(frozen=True)
class Options:
    """`slots` 0: one for each four cores, at most four. `drain_s`: how long a stop waits for jobs.

    `engines` models are served at a time, beside the jobs, in `serve_memory_bytes` together (0: a share
    of the machine); with `serve_only` there are no jobs. `pull` says when images are fetched: `missing`,
    `never`, `always`. With `ray`, the address of a cluster, this runner takes trainings only and gives
    them to it.
    """

    url: str
    token: str
    root: Path
    name: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    slots: int = 0
    once: bool = False
    hide: tuple[Path, ...] = ()
    drain_s: float = 3600.0
    lab: Path | None = None
    ray: str = ""
    ray_workers: int = 0
    pull: str = "missing"
    engines: int = DEFAULT_ENGINES
    serve_memory_bytes: int = 0
    serve_only: bool = False


def build_agent(options: Options) -> Agent:
    """Look at the machine and choose the ways to run jobs. Raises CannotStart, ValueError (address)."""
    api = RunnerApi(options.url, options.token)
    lab = options.lab or find_lab()
    machine = inspect_machine(lab=lab)
    if options.ray:
        return _build_cluster_agent(options, api, machine)
    slots = options.slots or min(max(len(machine.cores) // _CORES_PER_SLOT, 1), MAX_SLOTS)
    return Agent(
        api=api,
        name=options.name or default_name(),
        root=options.root.absolute(),
        machine=machine,
        executors=choose_executors(options, machine),
        labels=options.labels,
        slots=0 if options.serve_only else slots,
        hub_python=find_hub_python(lab),
        once=options.once,
        version=_version(),
        engine_slots=options.engines,
        serve_memory_bytes=options.serve_memory_bytes,
    )


def _build_cluster_agent(options: Options, api: RunnerApi, machine: Machine) -> Agent:
    try:
        cluster = find_cluster(options.ray, find_ray(), options.ray_workers)
    except NoCluster as error:
        raise CannotStart(str(error)) from error
    has = {"cores": cluster.cores, "memory_bytes": cluster.memory_bytes, "gpus": cluster.gpus}
    # What a GPU of the cluster has is not known: jobs that ask for an amount go elsewhere.
    return Agent(
        api=api,
        name=options.name or default_name(),
        root=options.root.absolute(),
        machine=machine,
        executors=[RayExecutor(machine, cluster)],
        labels=options.labels,
        slots=options.slots or 1,
        hub_python=find_hub_python(cluster.python),
        once=options.once,
        cluster=has | {"gpu_memory_bytes": 0},
        version=_version(),
    )


def choose_executors(options: Options, machine: Machine) -> list[Executor]:
    """What this machine can do; a machine that can isolate nothing takes no jobs. Raises CannotStart."""
    found: list[Executor] = []
    isolation = probe_isolation()
    if isolation.way:
        maker = GroupMaker()
        maker.sweep()
        if not {"memory", "pids"} <= set(maker.controllers):
            log.warning(
                "no control groups for memory and processes: limits are per process and by watching "
                "(systemd: Delegate=yes)"
            )
        found.append(SandboxExecutor(machine, options.root.absolute(), maker, hide=options.hide))
    if found and machine.containers:
        containers = ContainerExecutor(machine, options.root.absolute(), options.pull)
        containers.sweep()
        found.append(containers)
        log.info("images run in %s", machine.containers)
    if not found:
        raise CannotStart(f"This machine cannot run jobs safely: {isolation.reason}. See `llmos doctor`.")
    return found


def run_until_stopped(agent: Agent, *, drain_s: float) -> None:
    """Run; SIGTERM or SIGINT lets present jobs end for `drain_s`, a second one gives them back.

    Raises NotWelcome, AlreadyRunning.
    """
    timers: list[threading.Timer] = []

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if timers:
            agent.release()
            return
        timer = threading.Timer(drain_s, agent.release)
        timer.daemon = True
        timers.append(timer)
        timer.start()
        agent.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    # The claim waits in a thread of its own, so that a signal need not wait for its answer.
    failure: list[BaseException] = []
    worker = threading.Thread(target=_run, args=(agent, failure), daemon=True)
    worker.start()
    while worker.is_alive():
        worker.join(0.2)
        if timers and not agent.is_busy:
            break
    for timer in timers:
        timer.cancel()
    if failure:
        raise failure[0]


def _run(agent: Agent, failure: list[BaseException]) -> None:
    from llmos.runner.agent import AlreadyRunning, NotWelcome

    try:
        agent.run()
    except (NotWelcome, AlreadyRunning) as error:
        failure.append(error)


def _version() -> str:
    try:
        return version("llmos")
    except PackageNotFoundError:
        return ""
