"""The runner's parts one by one: lines, spool, events, staging, images, control groups, energy."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

import llmos
from llmos.runner import programs
from llmos.runner.cgroups import GroupMaker
from llmos.runner.energy import EnergyMeter
from llmos.runner.events import EventReader
from llmos.runner.executors import RESUME_PATH
from llmos.runner.lines import MAX_LINE_CHARS, LineSplitter
from llmos.runner.machine import Machine, Python
from llmos.runner.spool import Spool
from llmos.runner.staging import NothingThere, digest_tree, stage
from llmos.runner.transfers import TransferFailed, check_mount_path


def test_lines_are_cut_where_they_end_however_they_arrive() -> None:
    splitter = LineSplitter()
    got = [line for part in (b"one\ntw", b"o\n\xe4\xb8", b"\xad\nrest") for line in splitter.feed(part)]
    assert got == ["one", "two", "中"]
    assert splitter.end() == ["rest"]
    assert splitter.end() == []


def test_a_progress_bar_is_its_last_state_and_long_lines_are_split() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"10%\r20%\r100%\r\ndone\n") == ["100%", "done"]
    assert splitter.feed(b"\r".join(b"%d%%" % n for n in range(1000))) == []
    assert splitter.end() == ["999%"]
    assert [len(line) for line in splitter.feed(b"x" * (2 * MAX_LINE_CHARS + 5) + b"\n")] == [
        MAX_LINE_CHARS, MAX_LINE_CHARS, 5,
    ]  # fmt: skip


def test_a_spool_keeps_numbers_over_a_restart(tmp_path: Path) -> None:
    first = Spool(tmp_path / "events.jsonl")
    first.add([b'{"n":%d}' % n for n in range(5)])
    assert first.read(3, limit=10, limit_bytes=1000) == [b'{"n":3}', b'{"n":4}']
    assert first.read(1, limit=2, limit_bytes=1000) == [b'{"n":1}', b'{"n":2}']
    first.close()
    again = Spool(tmp_path / "events.jsonl")
    assert again.count == 5
    again.add([b"6"])
    assert again.read(4, limit=10, limit_bytes=1000) == [b'{"n":4}', b"6"]
    assert len(again.read(0, limit=10, limit_bytes=8)) == 1
    again.close()


def test_events_of_a_job_are_checked() -> None:
    reader = EventReader()
    lines = [
        {"kind": "metric", "step": 1, "name": "loss", "value": 2.5},
        {"kind": "progress", "done": 1, "total": 2},
        {"kind": "checkpoint", "path": "/job/output/c-1", "step": 7},
        {"kind": "log", "text": "printed, too"},
        {"kind": "checkpoint", "path": "../../etc", "step": 1},
        {"kind": "checkpoint", "path": "/etc", "step": 1},
        {"kind": "metric", "step": -1, "name": "loss", "value": 1},
        {"kind": "sample", "cpu": 1},
        ["kind"],
    ]
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines) + b"{broken\n"
    events, saved = reader.feed(data[:50])
    more, later = reader.feed(data[50:])
    assert [event["kind"] for event in events + more] == ["metric", "progress"]
    assert [(one.path, one.step) for one in saved + later] == [("output/c-1", 7)]
    assert reader.bad == 6


def test_staging_follows_no_link(tmp_path: Path) -> None:
    job, secret = tmp_path / "job", tmp_path / "secret"
    (job / "out" / "deep").mkdir(parents=True)
    secret.write_text("key")
    (job / "out" / "deep" / "w.bin").write_text("weights")
    (job / "out" / "link").symlink_to(secret)
    (job / "out" / "folder").symlink_to(tmp_path)
    os.mkfifo(job / "out" / "pipe")
    (job / "elsewhere").symlink_to(tmp_path)
    left_out = stage(job, "out", tmp_path / "staged")
    assert sorted(left_out) == ["folder", "link", "pipe"]
    files = [p.relative_to(tmp_path / "staged") for p in (tmp_path / "staged").rglob("*") if p.is_file()]
    assert files == [Path("deep/w.bin")]
    for number, path in enumerate(("elsewhere", "../secret", "none", "out/deep/w.bin")):
        with pytest.raises(NothingThere):
            stage(job, path, tmp_path / f"s{number}")


def test_equal_trees_have_equal_digests(tmp_path: Path) -> None:
    for name, text in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "x").write_text(text)
    one, same, other = (digest_tree(tmp_path / name) for name in "abc")
    assert one == same != other


def test_what_an_image_means(tmp_path: Path) -> None:
    machine = Machine((0,), 2**30, pythons={"3.12": Python("3.12", Path("/usr/bin/python3.12"), None)})
    spec = {"job_id": "1", "attempt": 1, "owner": "ada", "command": ["python"], "hub_url": "http://hub"}
    for image in ("", "python", "python:3", "python:3.12-slim", "docker.io/library/python:3.12.1"):
        found = programs.plan_command(spec | {"image": image}, machine, tmp_path)
        assert found.env["PATH"].startswith(programs.TOOLS)
        assert "HF_TOKEN" not in found.env
    for image, word in (
        ("python:3.9", "no Python 3.9"),
        ("uv", "no uv"),
        ("ubuntu:22.04", "container engine"),
    ):
        with pytest.raises(programs.NoProgram, match=word):
            programs.plan_command(spec | {"image": image}, machine, tmp_path)
    with pytest.raises(programs.NoProgram, match="cannot train"):
        programs.plan_recipe(spec, machine, [], events_fd=3)


def test_a_recipe_is_told_where_its_inputs_lie_and_at_which_commits(tmp_path: Path) -> None:
    machine = Machine((0,), 2**30, lab=Path(sys.executable))
    spec = {"job_id": "1", "attempt": 2, "owner": "ada", "recipe": {}, "hub_url": "http://hub"}
    base = {"type": "model", "repo": "ada/base", "revision": "8f" * 20, "path": "/inputs/models/ada/base"}
    bucket = {"type": "bucket", "repo": "ada/things", "revision": None, "path": "/data"}
    kept = base | {"revision": "a" * 40, "path": RESUME_PATH}
    inputs = [(item, tmp_path) for item in (base, bucket, kept)]
    program = programs.plan_recipe(spec, machine, inputs, events_fd=3, resume=RESUME_PATH)
    assert "--defaults" in program.command, "a job's log says what the recipe leaves open"
    env = program.env
    assert json.loads(env["LLMOS_INPUTS"]) == {
        "model:ada/base": "/inputs/models/ada/base", "bucket:ada/things": "/data",
    }  # fmt: skip
    assert json.loads(env["LLMOS_INPUT_REVISIONS"]) == {"model:ada/base": "8f" * 20}


def test_only_a_job_with_network_gets_its_token(tmp_path: Path) -> None:
    machine = Machine((0,), 2**30, pythons={"3.12": Python("3.12", Path("/usr/bin/python3.12"), None)})
    spec = {
        "job_id": "1", "attempt": 1, "owner": "ada", "command": ["python"], "hub_url": "http://hub",
        "token": "hf_x", "network": True, "environment": {"HF_ENDPOINT": "http://other"},
    }  # fmt: skip
    found = programs.plan_command(spec, machine, tmp_path)
    assert found.env["HF_TOKEN"] == "hf_x"
    assert found.env["HF_ENDPOINT"] == "http://other"


def _lab_machine(tmp_path: Path) -> Machine:
    return Machine((0,), 2**30, lab=Path(sys.executable))


def test_a_recipe_brings_no_program_along(tmp_path: Path) -> None:
    """Whatever the hub passes on: the training side's own variables win, and it loads its own files."""
    spec = {
        "job_id": "1", "attempt": 1, "owner": "ada", "hub_url": "http://hub", "recipe": {},
        "environment": {"PYTHONPATH": "/data", "LD_PRELOAD": "/data/x.so", "Path": "/data", "WORD": "a",
                        "LLMOS_INPUTS": "{}", "OMP_WAIT_POLICY": "active"},
        "secrets": {"PYTHONSTARTUP": "/data/x.py", "BASH_ENV": "/data/x.sh"},
    }  # fmt: skip
    item = {"type": "dataset", "repo": "ada/poems", "path": "/data"}
    env = programs.plan_recipe(spec, _lab_machine(tmp_path), [(item, tmp_path)], events_fd=3).env
    assert env["PYTHONPATH"] == str(Path(llmos.__path__[0]).parent)
    assert not {"LD_PRELOAD", "Path", "PYTHONSTARTUP", "BASH_ENV"} & set(env)
    assert (env["WORD"], env["OMP_WAIT_POLICY"]) == ("a", "passive")
    assert json.loads(env["LLMOS_INPUTS"]) == {"dataset:ada/poems": "/data"}
    assert env["PYTHONSAFEPATH"] == env["PYTHONNOUSERSITE"] == "1"


@pytest.mark.parametrize("place", ["/job/torch", "/job/.local/lib", "/tmp/cache", "lab", "above the lab"])
def test_no_input_lies_where_the_training_side_looks_for_programs(tmp_path: Path, place: str) -> None:
    package = Path(llmos.__path__[0])
    path = {"lab": str(package / "lab"), "above the lab": f"/{package.parts[1]}"}.get(place, place)
    spec = {"job_id": "1", "attempt": 1, "owner": "ada", "hub_url": "http://hub", "recipe": {}}
    item = {"type": "dataset", "repo": "ada/poems", "path": path}
    with pytest.raises(programs.NoProgram, match="cannot be laid"):
        programs.plan_recipe(spec, _lab_machine(tmp_path), [(item, tmp_path)], events_fd=3)


@pytest.mark.parametrize("path", ["/usr/x", "/", "data", "/data/../etc", "/job", "/opt/llmos/bin", "/proc"])
def test_places_where_nothing_can_be_laid(path: str) -> None:
    with pytest.raises(TransferFailed):
        check_mount_path(path)


def test_control_groups_of_version_two(tmp_path: Path) -> None:
    """By the files the kernel offers, laid out as it does; a real one is not at hand everywhere."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids")
    maker = GroupMaker(root=tmp_path, own="0::/\n")
    assert maker.unified
    assert maker.controllers == ["cpu", "memory", "pids"]
    group = maker.make()
    assert group is not None
    group.limit(memory_bytes=1000, pids=7, cores=1.5)
    group.add(1)
    folder = group.folders["memory"]
    written = {
        name: (folder / name).read_text() for name in ("memory.max", "pids.max", "cpu.max", "cgroup.procs")
    }
    assert written == {"memory.max": "1000", "pids.max": "7", "cpu.max": "150000 100000", "cgroup.procs": "1"}
    (folder / "memory.events").write_text("low 0\noom_kill 2\n")
    (folder / "memory.current").write_text("900")
    (folder / "memory.stat").write_text("active_file 100\ninactive_file 200\n")
    (folder / "cpu.stat").write_text("usage_usec 2500000\n")
    assert (group.memory_kills(), group.memory_bytes(), group.cpu_s()) == (2, 600, 2.5)


def test_no_control_groups_where_nothing_may_be_made(tmp_path: Path) -> None:
    assert GroupMaker(root=tmp_path / "none", own="0::/user\n4:memory:/x\n").make() is None


def test_energy_is_estimated_or_measured_and_says_which(tmp_path: Path) -> None:
    guess = EnergyMeter(rapl=tmp_path)
    assert guess.method == "estimated"
    assert guess.add(360.0) == pytest.approx(1.0)
    package = tmp_path / "intel-rapl:0"
    package.mkdir()
    (package / "energy_uj").write_text("1000000")
    meter = EnergyMeter(rapl=tmp_path)
    (package / "energy_uj").write_text("3601000000")
    assert meter.method == "measured"
    assert 0 < meter.add(1000.0) <= 1.0
