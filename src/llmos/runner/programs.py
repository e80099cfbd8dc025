"""What a job's image means on a machine without containers: which program, which files, which variables.

| image | here |
|---|---|
| none, `python`, `python:3.x…` | this machine's Python of that version, standard library only |
| `uv`, `ghcr.io/astral-sh/uv:python3.x…` | the same with `uv` on the path, its cache kept per owner |
| anything else | needs a container engine |
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import llmos
from llmos.core.variables import steers_programs
from llmos.runner.executors import RESUME_PATH
from llmos.runner.limits import Mount
from llmos.runner.machine import Machine, Python, python_environment_prefixes

_PYTHON = re.compile(
    r"(?:docker\.io/)?(?:library/)?python(?::(?:3|latest|(?P<version>3\.\d+)(?:\.\d+)?)(?:-.*)?)?"
)
_UV = re.compile(r"(?:ghcr\.io/)?(?:astral-sh/)?uv(?::(?:.*python(?P<version>3\.\d+).*|[^/]*))?")
TOOLS = "/opt/llmos/bin"
CACHE = "/opt/llmos/cache"
# Where an engine finds what it serves.
MODEL, BASE = "/model", "/base"
# Passed on to jobs that may use the network: how this machine reaches package indexes.
_NETWORK_ENV = (
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
)  # fmt: skip
# Measured: threads that spin while they wait make a busy machine up to ten times slower.
_THREADS = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0", "TOKENIZERS_PARALLELISM": "false"}


class NoProgram(Exception):
    """This machine cannot run that image; the text is for the person who sent the job."""


@dataclass(frozen=True, slots=True)
class Program:
    """A command with what it needs to see of the machine. `files` are written into /job first."""

    command: tuple[str, ...]
    env: dict[str, str]
    mounts: tuple[Mount, ...] = ()
    caches: tuple[Mount, ...] = ()
    files: tuple[tuple[str, str], ...] = ()


def is_python_image(image: str) -> bool:
    return not image or _PYTHON.fullmatch(image) is not None


def needs_container(image: str) -> bool:
    return not is_python_image(image) and _UV.fullmatch(image) is None


def plan_command(spec: Mapping[str, Any], machine: Machine, root: Path) -> Program:
    """The program of a `command` job. `root` is the runner's folder, for caches and links to tools.

    Raises NoProgram.
    """
    image = str(spec.get("image") or "")
    if needs_container(image):
        raise NoProgram(
            f"This runner has no container engine, so it cannot run the image {image}: use python:3.x or uv."
        )
    found = _PYTHON.fullmatch(image) or _UV.fullmatch(image)
    is_uv = not is_python_image(image)
    python = _pick_python(machine, found.group("version") if found and image else None)
    command = (*spec.get("command", ()), *spec.get("arguments", ()))
    if not command:
        raise NoProgram("The job has no command.")
    mounts = [Mount(_make_tools(root, machine, python), TOOLS)]
    if python.prefix is not None:
        mounts.append(Mount(python.prefix, str(python.prefix)))
    env = _base_env(spec, path=f"{TOOLS}:{python.program.parent}")
    caches: list[Mount] = []
    if machine.uv is not None and (is_uv or command[0] == "uv"):
        caches.append(Mount(root / "cache" / "uv" / str(spec["owner"]), f"{CACHE}/uv", read_only=False))
        mounts.append(Mount(machine.uv, f"{CACHE}-tools/uv"))
        env |= {"UV_CACHE_DIR": f"{CACHE}/uv", "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
        env |= {} if spec.get("network") else {"UV_OFFLINE": "1"}
    elif is_uv:
        raise NoProgram("This runner has no uv: install it beside the runner, or use python:3.x.")
    return Program(command, env | _asked_env(spec), tuple(mounts), tuple(caches))


def plan_recipe(
    spec: Mapping[str, Any],
    machine: Machine,
    inputs: Sequence[tuple[Mapping[str, Any], Path]],
    *,
    events_fd: int,
    resume: str = "",
) -> Program:
    """The training lab on the job's recipe. Raises NoProgram.

    `LLMOS_INPUTS` tells the lab where repositories the recipe names lie: `{"dataset:ada/poems":
    "/inputs/0"}`, and `LLMOS_INPUT_REVISIONS` at which commits.
    """
    lab, mounts, env = _lab(spec, machine, "train")
    _check_apart([str(item["path"]) for item, _ in inputs], mounts)
    command = [lab, "-m", "llmos.lab", "run", "/job/recipe.json", "--events", str(events_fd), "--defaults"]
    if resume:
        command += ["--resume", resume]
    env |= name_inputs((item, item["path"]) for item, _ in inputs)
    files = (("recipe.json", json.dumps(spec.get("recipe") or {}, ensure_ascii=False)),)
    return Program(tuple(command), _harmless_env(spec) | env, tuple(mounts), files=files)


def name_inputs(laid: Iterable[tuple[Mapping[str, Any], str]]) -> dict[str, str]:
    """The variables that tell the lab where inputs lie and at which commits.

    The checkpoint to go on from is none of them: its repository may be one that the recipe reads, too.
    """
    known = [
        (f"{i['type']}:{i['repo']}", path, i.get("revision")) for i, path in laid if i["path"] != RESUME_PATH
    ]
    return {
        "LLMOS_INPUTS": json.dumps({name: path for name, path, _ in known}),
        "LLMOS_INPUT_REVISIONS": json.dumps({name: commit for name, _, commit in known if commit}),
    }


def plan_engine(spec: Mapping[str, Any], machine: Machine, *, channel_fd: int) -> Program:
    """The engine that serves what lies at /model, with its end of the channel. Raises NoProgram."""
    lab, mounts, env = _lab(spec, machine, "serve models")
    command = [lab, "-m", "llmos.lab", "serve", "--model", MODEL, "--channel", str(channel_fd)]
    asked = spec.get("engine") or {}
    command += ["--spec", json.dumps(asked)]
    if asked.get("base"):
        command += ["--base", BASE]
    if asked.get("engine") == "vllm":
        if machine.vllm is None:
            raise NoProgram("This runner has no vLLM: put it into .venv-vllm, or name it by LLMOS_VLLM.")
        env["LLMOS_VLLM"] = str(machine.vllm)
        prefixes = python_environment_prefixes(machine.vllm.with_name("python"))
        known = {mount.target for mount in mounts}
        mounts += [Mount(prefix, str(prefix)) for prefix in prefixes if str(prefix) not in known]
    return Program(tuple(command), _harmless_env(spec) | env, tuple(mounts))


def _lab(spec: Mapping[str, Any], machine: Machine, what: str) -> tuple[str, list[Mount], dict[str, str]]:
    """The training side's Python, what it needs to see, and its variables. Raises NoProgram."""
    if machine.lab is None:
        raise NoProgram(f"This runner cannot {what}: the training side is not installed (make setup-lab).")
    package = Path(llmos.__path__[0])
    prefixes = python_environment_prefixes(machine.lab)
    mounts = [Mount(prefix, str(prefix)) for prefix in prefixes]
    if not any(prefix in package.parents for prefix in prefixes):
        mounts.append(Mount(package, str(package)))
    env = _base_env(spec, path=str(machine.lab.parent)) | {"PYTHONPATH": str(package.parent)}
    # Nothing is imported from the working folder, nor from a home.
    env |= {"PYTHONSAFEPATH": "1", "PYTHONNOUSERSITE": "1"}
    env |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"} if not spec.get("network") else {}
    return str(machine.lab), mounts, env


def _pick_python(machine: Machine, version: str | None) -> Python:
    if version is None and machine.pythons:
        ours = next((v for v in ("3.12", "3.11", "3.13") if v in machine.pythons), None)
        version = ours or next(iter(machine.pythons))
    python = machine.pythons.get(version or "")
    if python is None:
        there = ", ".join(machine.pythons) or "none"
        raise NoProgram(f"This runner has no Python {version or '3'}; it has {there}.")
    return python


def _make_tools(root: Path, machine: Machine, python: Python) -> Path:
    """A folder with `python`, `python3` and `uv`, as an image of that name has them."""
    folder = root / "tools" / python.version
    if not folder.is_dir():
        folder.mkdir(parents=True, mode=0o755)
        for name in ("python", "python3", f"python{python.version}"):
            (folder / name).symlink_to(python.program)
        if machine.uv is not None:
            (folder / "uv").symlink_to(f"{CACHE}-tools/uv")
    return folder


def _base_env(spec: Mapping[str, Any], *, path: str) -> dict[str, str]:
    env = {
        "PATH": f"{path}:/job/.local/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": "/job",
        "TMPDIR": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        # Without these pip would want to write where the job may not.
        "PIP_USER": "1",
        "PIP_BREAK_SYSTEM_PACKAGES": "1",
        "PYTHONUSERBASE": "/job/.local",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "LLMOS_JOB_ID": str(spec["job_id"]),
        "LLMOS_JOB_ATTEMPT": str(spec["attempt"]),
        **_THREADS,
    }
    if spec.get("network"):
        env |= {name: os.environ[name] for name in _NETWORK_ENV if name in os.environ}
        env["HF_ENDPOINT"] = str(spec["hub_url"])
        if spec.get("token"):
            env["HF_TOKEN"] = str(spec["token"])
    return env


def _asked_env(spec: Mapping[str, Any]) -> dict[str, str]:
    return {**spec.get("environment", {}), **spec.get("secrets", {})}


def _harmless_env(spec: Mapping[str, Any]) -> dict[str, str]:
    """What a job that is data may set: nothing that decides what the training side loads."""
    return {name: value for name, value in _asked_env(spec).items() if not steers_programs(name)}


def _check_apart(paths: Sequence[str], mounts: Sequence[Mount]) -> None:
    """Refuse inputs laid where the training side looks for programs. Raises NoProgram."""
    programs = [PurePosixPath(place) for place in ("/job", "/tmp", *(mount.target for mount in mounts))]
    for path in paths:
        place = PurePosixPath(os.path.normpath(path))
        if any(place == one or place in one.parents or one in place.parents for one in programs):
            raise NoProgram(f"Files of a training cannot be laid at {path}: choose a place below /data.")
