"""What this machine has: cores, memory, disk, GPUs, Pythons and programs for jobs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from llmos.runner.limits import GIB, MIB

_SYSTEM_RESERVE_BYTES = 256 * MIB


@dataclass(frozen=True, slots=True)
class Gpu:
    """`index` is the number the driver gives it, which is also that of its device file."""

    index: int
    name: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Python:
    """A Python for jobs: its program and the folder it needs (None: a part of /usr)."""

    version: str
    program: Path
    prefix: Path | None


@dataclass(frozen=True)
class Machine:
    """Found once when the runner starts."""

    cores: tuple[int, ...]
    memory_bytes: int
    gpus: tuple[Gpu, ...] = ()
    pythons: dict[str, Python] = field(default_factory=dict)
    uv: Path | None = None
    lab: Path | None = None
    containers: str = ""
    vllm: Path | None = None

    @property
    def serving(self) -> list[str]:
        """The engines it can start, as `wire.serving.EngineKind`."""
        if self.lab is None:
            return []
        has_llama = any(self.lab.parents[1].glob("lib/python*/site-packages/llama_cpp"))
        return ["transformers", *(["llama.cpp"] if has_llama else []), *(["vllm"] if self.vllm else [])]

    @property
    def engines(self) -> list[str]:
        found = [f"python:{version}" for version in self.pythons]
        return [*(["lab"] if self.lab else []), *(["uv"] if self.uv else []), *found]


def inspect_machine(*, lab: Path | None = None) -> Machine:
    """Look around. `lab` is the Python of the training side, if known."""
    containers = find_container_engine()
    return Machine(
        cores=tuple(sorted(os.sched_getaffinity(0))),
        memory_bytes=max(_total_memory_bytes() - _SYSTEM_RESERVE_BYTES, 256 * MIB),
        gpus=tuple(list_gpus()),
        pythons=find_pythons(),
        uv=_find_uv(),
        lab=lab,
        containers=containers,
        vllm=find_vllm(),
    )


def find_vllm(root: Path | None = None) -> Path | None:
    """The program of vLLM in an environment of its own: what LLMOS_VLLM names, or `.venv-vllm`."""
    own = (root or Path(__file__).parents[3]) / ".venv-vllm" / "bin" / "vllm"
    places = (Path(os.environ.get("LLMOS_VLLM") or own), own)
    return next((place for place in places if place.is_file()), None)


def free_disk_bytes(folder: Path) -> int:
    """What jobs may fill: all that is free but a gigabyte."""
    return max(shutil.disk_usage(folder).free - GIB, 0)


def _total_memory_bytes() -> int:
    """The machine's memory, or what the group of this process may use, whichever is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, names, path = line.split(":", 2)
        where = {"0": ("", "memory.max")}.get(number)
        if "memory" in names.split(","):
            where = ("memory", "memory.limit_in_bytes")
        if where is not None:
            limit = Path("/sys/fs/cgroup") / where[0] / path.lstrip("/") / where[1]
            if limit.exists() and (text := limit.read_text().strip()).isdigit():
                total = min(total, int(text))
    return total


def list_gpus() -> list[Gpu]:
    """NVIDIA GPUs, by the driver's own program; none where it is missing."""
    rows = _query_gpus("index,name,memory.total")
    return [Gpu(int(row[0]), row[1], int(float(row[2]) * MIB)) for row in rows if len(row) == 3]


@dataclass(frozen=True, slots=True)
class GpuUse:
    share: float
    memory_bytes: int
    watts: float


def read_gpus(indexes: tuple[int, ...]) -> GpuUse | None:
    """What these GPUs do at the moment, together (`share` counts GPUs: 1.5 of two)."""
    rows = _query_gpus("index,utilization.gpu,memory.used,power.draw")
    mine = [row for row in rows if len(row) == 4 and row[0].isdigit() and int(row[0]) in indexes]
    if not mine:
        return None
    sums = [sum(_number(row[column]) for row in mine) for column in (1, 2, 3)]
    return GpuUse(sums[0] / 100, int(sums[1] * MIB), sums[2])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _query_gpus(fields: str) -> list[list[str]]:
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]


def find_container_engine() -> str:
    """`podman` or `docker` if it really answers, or ""."""
    for name in ("podman", "docker"):
        if shutil.which(name) is None:
            continue
        try:
            done = subprocess.run([name, "info"], capture_output=True, timeout=15, check=False)
        except (OSError, subprocess.SubprocessError):
            continue
        if done.returncode == 0:
            return name
    return ""


def find_pythons() -> dict[str, Python]:
    """One Python of each minor version, newest version first; ours and the system's win."""
    home = Path.home()
    candidates = [Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"]
    candidates += [Path("/usr/bin") / f"python3.{minor}" for minor in range(9, 20)]
    candidates += [Path("/usr/local/bin") / f"python3.{minor}" for minor in range(9, 20)]
    candidates += sorted(home.glob(".pyenv/versions/3.*/bin/python3.[0-9]*"))
    candidates += sorted(home.glob(".local/share/uv/python/cpython-3.*/bin/python3.[0-9]*"))
    found: dict[str, Python] = {}
    for path in candidates:
        if re.fullmatch(r"python3\.\d+", path.name) and path.exists() and os.access(path, os.X_OK):
            version = path.name.removeprefix("python")
            prefix = path.resolve().parent.parent
            inside_usr = prefix == Path("/usr") or Path("/usr") in prefix.parents
            found.setdefault(version, Python(version, path, None if inside_usr else prefix))
    return dict(sorted(found.items(), key=lambda item: -int(item[0].split(".")[1])))


def _find_uv() -> Path | None:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    return Path(found).resolve() if found else None


def find_lab(root: Path | None = None) -> Path | None:
    """The Python that trains: the environment of `make setup-lab`, or this one if it has torch."""
    tree = root or Path(__file__).parents[3]
    own = tree / ".venv-lab" / "bin" / "python"
    # The stamp is written when all of it is installed.
    if own.exists() and (tree / ".venv" / ".stamps" / "lab").exists():
        return own
    return Path(sys.executable) if _has_module("torch") else None


def find_ray(root: Path | None = None) -> Path | None:
    """The Python that reaches a Ray cluster: the environment of `make setup-ray`, or the lab's own."""
    tree = root or Path(__file__).parents[3]
    own = tree / ".venv-ray" / "bin" / "python"
    if own.exists() and (tree / ".venv" / ".stamps" / "ray").exists():
        return own
    return Path(sys.executable) if _has_module("ray") and _has_module("torch") else None


def find_hub_python(lab: Path | None) -> Path | None:
    """A Python that has huggingface_hub, for inputs and outputs."""
    if _has_module("huggingface_hub"):
        return Path(sys.executable)
    return lab


def _has_module(name: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(name) is not None


@lru_cache
def python_environment_prefixes(program: Path) -> tuple[Path, ...]:
    """The folders a Python program needs: its environment, and what that was made from."""
    done = subprocess.run(
        [str(program), "-c", "import sys; print(sys.prefix); print(sys.base_prefix)"],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    prefixes = [Path(line) for line in done.stdout.split("\n") if line]
    return tuple(dict.fromkeys(p for p in prefixes if p != Path("/usr") and Path("/usr") not in p.parents))


def load_of_machine() -> float:
    return os.getloadavg()[0]
