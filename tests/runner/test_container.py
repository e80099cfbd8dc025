"""Images by podman or docker: what the engine is told; the real thing where this machine has one."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmos.runner.executors import CannotRun, Share
from llmos.runner.executors.container import ContainerExecutor, ContainerPlan, build_command
from llmos.runner.limits import MIB, Limits, Mount, Outcome
from llmos.runner.machine import Machine, find_container_engine

SPEC: dict[str, Any] = {
    "job_id": "6b02c0159071eceb165b674d", "attempt": 1, "kind": "command", "image": "debian:12",
    "command": ["sh", "-c", "echo $WORD"], "timeout_s": 30, "environment": {"WORD": "hi"},
    "secrets": {"KEY": "s3cret"}, "hub_url": "http://hub",
}  # fmt: skip
SHARE = Share(slot=0, cores=(0, 1), memory_bytes=64 * MIB, disk_bytes=32 * MIB)
PLAN = ContainerPlan(
    engine="podman",
    name="llmos-1",
    owner="0a",
    image="debian:12",
    command=("sh", "-c", "true"),
    env_file=Path("/r/env"),
    box=Path("/r/box"),
    limits=Limits(memory_bytes=100, pids=7, cores=(0, 1)),
    uid=61184,
    mounts=(Mount(Path("/r/inputs/0"), "/data"),),
)


def value_of(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]


def test_nothing_is_granted_that_was_not_asked_for() -> None:
    command = build_command(PLAN)
    assert command[:2] == ["podman", "run"]
    wanted = {
        "--network": "none", "--cap-drop": "ALL", "--security-opt": "no-new-privileges",
        "--user": "61184:61184", "--memory": "100", "--memory-swap": "100", "--pids-limit": "7",
        "--cpus": "2", "--pull": "missing", "--env-file": "/r/env", "--workdir": "/job",
    }  # fmt: skip
    assert {option: value_of(command, option) for option in wanted} == wanted
    assert "--read-only" in command
    assert not {"--privileged", "--device", "--userns", "--gpus", "--cap-add", "--pid", "--ipc"} & set(
        command
    )
    mounts = [command[n + 1] for n, word in enumerate(command) if word == "--mount"]
    assert mounts == [
        "type=bind,source=/r/box/job,target=/job",
        "type=bind,source=/r/box/tmp,target=/tmp",
        "type=bind,source=/r/inputs/0,target=/data,readonly",
    ]
    assert command[-6:] == ["--entrypoint", "sh", "--", "debian:12", "-c", "true"]


def test_what_is_granted() -> None:
    assert "--network" not in build_command(replace(PLAN, network=True))
    assert value_of(build_command(replace(PLAN, gpus=(1,))), "--device") == "nvidia.com/gpu=1"
    assert value_of(build_command(replace(PLAN, engine="docker", gpus=(0, 1))), "--gpus") == '"device=0,1"'
    assert value_of(build_command(replace(PLAN, keep_id=True)), "--userns") == "keep-id"
    assert value_of(build_command(replace(PLAN, pull="never")), "--pull") == "never"


def executor(root: Path, engine: str = "podman") -> ContainerExecutor:
    return ContainerExecutor(Machine((0, 1), 2**30, containers=engine), root, pull="never")


def test_it_takes_commands_in_images_only(tmp_path: Path) -> None:
    takes = executor(tmp_path).takes
    assert takes(SPEC)
    assert not takes(SPEC | {"image": "python:3.12"})
    assert not takes(SPEC | {"kind": "recipe"})


def test_secrets_are_on_no_command_line(tmp_path: Path) -> None:
    found = executor(tmp_path).prepare(SPEC, SHARE, tmp_path / "job", [], 3)
    assert "s3cret" not in " ".join(build_command(found.plan))
    assert found.plan.env_file.stat().st_mode & 0o777 == 0o600
    told = found.plan.env_file.read_text().splitlines()
    assert {"WORD=hi", "KEY=s3cret", "HOME=/job"} <= set(told)
    assert not [line for line in told if line.startswith("HF_TOKEN")]


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"environment": {"A": "1\nLD_PRELOAD=x"}}, "/data", "line break"),
        ({"image": "--privileged"}, "/data", "names no image"),
        ({"image": "a b"}, "/data", "names no image"),
        ({"command": []}, "/data", "no command"),
        ({}, "/data,readonly=false", "plain letters"),
    ],
)
def test_nothing_slips_into_the_command(
    changes: dict[str, Any], path: str, words: str, tmp_path: Path
) -> None:
    inputs = [({"type": "dataset", "repo": "ada/a", "path": path}, tmp_path / "0")]
    with pytest.raises(CannotRun, match=words):
        executor(tmp_path).prepare(SPEC | changes, SHARE, tmp_path / "job", inputs, 3)


# The real thing


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An engine that answers, with an image of one static program: LLMOS_TEST_BUSYBOX names it."""
    name, program = find_container_engine(), os.environ.get("LLMOS_TEST_BUSYBOX", "/bin/busybox")
    if not name or not Path(program).exists():
        pytest.skip("needs podman or docker, and a static busybox (apt-get install podman busybox-static)")
    tree = tmp_path_factory.mktemp("image")
    for folder in ("bin", "tmp", "job", "etc", "proc", "dev", "sys", "data"):
        (tree / folder).mkdir()
    (tree / "bin" / "busybox").write_bytes(Path(program).read_bytes())
    (tree / "bin" / "busybox").chmod(0o755)
    for word in ("sh", "cat", "touch", "sleep", "ip", "dd", "tail", "grep"):
        (tree / "bin" / word).symlink_to("busybox")
    tree.chmod(0o755)
    subprocess.run(["tar", "-C", tree, "-cf", tree.with_suffix(".tar"), "."], check=True)
    subprocess.run([name, "import", tree.with_suffix(".tar"), "localhost/llmos-test:1"], check=True)
    return name


def run(engine: str, folder: Path, script: str, **changes: Any) -> tuple[Outcome, str]:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "x").write_text("input")
    folder.chmod(0o755)
    spec = SPEC | {"image": "localhost/llmos-test:1", "command": ["sh", "-c", script]} | changes
    inputs = [({"type": "dataset", "repo": "ada/a", "path": "/data"}, folder / "data")]
    found = executor(folder, engine).prepare(spec, SHARE, folder / "job", inputs, 3)
    log = folder / "log"
    with log.open("wb") as file:
        found.start(stdout=file.fileno(), stderr=file.fileno())
    assert found.process is not None
    while True:
        found.look()
        try:
            found.process.wait(0.25)
            break
        except subprocess.TimeoutExpired:
            continue
    outcome = found.finish()
    left = subprocess.run([engine, "ps", "-aq"], capture_output=True, text=True, check=True)
    assert left.stdout.strip() == ""
    return outcome, log.read_text()


@pytest.mark.slow
def test_a_container_sees_its_files_and_no_network(engine: str, tmp_path: Path) -> None:
    script = (
        "echo $WORD; cat /data/x; touch /data/y 2>/dev/null || echo read-only; "
        "touch /z 2>/dev/null || echo shut; ip a | grep -c '^[0-9]'; echo made > /job/out; "
        "cat /proc/self/status | grep -E 'CapEff|NoNewPrivs|Uid'"
    )
    outcome, told = run(engine, tmp_path / "r", script)
    assert outcome.cause == "done", (outcome, told)
    assert "hi\ninputread-only\nshut\n1\n" in told, told
    assert "CapEff:\t0000000000000000" in told
    assert "NoNewPrivs:\t1" in told
    assert (tmp_path / "r" / "job" / "box" / "job" / "out").read_text() == "made\n"


@pytest.mark.slow
def test_limits_and_failures_of_a_container(engine: str, tmp_path: Path) -> None:
    outcome, _ = run(engine, tmp_path / "a", "exit 7")
    assert (outcome.cause, outcome.exit_code) == ("failed", 7)
    outcome, _ = run(engine, tmp_path / "b", "sleep 60", timeout_s=1)
    assert outcome.cause == "timeout"
    outcome, told = run(engine, tmp_path / "c", "tail /dev/zero")
    assert outcome.cause == "memory", (outcome, told)
    outcome, _ = run(engine, tmp_path / "d", "dd if=/dev/zero of=/job/big bs=1M count=60; sleep 20")
    assert outcome.cause == "disk"
    outcome, told = run(engine, tmp_path / "e", "true", image="localhost/no-such-image:1")
    assert outcome.reason == f"{engine} could not run the image with exit code 125", told
