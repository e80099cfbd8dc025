"""A training of the hub on a Ray cluster of this machine, spread over two workers."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from kit.runners import Jobs, register, runner, wait_until
from kit.server import LiveServer, free_port
from llmos.lab.cluster import main as cluster_main
from llmos.lab.cluster_work import sweep
from llmos.lab.samples import sample
from llmos.runner.executors import CannotRun
from llmos.runner.executors.ray import NoCluster, check_recipe, find_cluster
from llmos.runner.machine import find_ray

START_S = 120.0


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"data": {"sources": [{"files": ["/etc/passwd"]}]}}, "not from files"),
        ({"data": {"sources": [{"dataset": "ada/a"}], "validation": [{"files": ["x"]}]}}, "data.validation"),
        ({"model": {"base": "/srv/secret-model"}}, "model.base"),
        ({"tokenizer": {"from": "../somewhere"}}, "tokenizer.from"),
        ({"evaluation": {"model": {"repo": "ada/base"}}}, "takes trainings only, not evaluations"),
        ({"contamination": {"data": {"repo": "ada/a"}}}, "takes trainings only, not contamination checks"),
    ],
)
def test_recipes_read_nothing_of_the_cluster(recipe: dict[str, Any], words: str) -> None:
    with pytest.raises(CannotRun, match=words):
        check_recipe(recipe, {"model:ada/base"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("objective: clm\ndata: {}\n", "sources: must be there"),
        ("evaluation: {model: {repo: ada/base}}\n", "objective: must be there"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_a_cluster_is_asked(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.json").write_text(text)
    command = [
        str(tmp_path / "recipe.json"),
        "--address",
        "127.0.0.1:1",
        "--events",
        str(tmp_path / "events"),
    ]
    assert cluster_main(command) == 2
    assert words in capsys.readouterr().err
    assert words in (tmp_path / "events").read_text()


def test_what_the_hub_has_laid_may_be_read() -> None:
    recipe = {
        "data": {"sources": [{"dataset": "ada/a"}, {"files": ["sample:english.txt"]}]},
        "model": {"base": "ada/base"},
    }
    check_recipe(recipe, {"model:ada/base"})


def test_what_killed_workers_left_is_removed(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    for name, pid in (("llmos-ray-old", gone.pid), ("llmos-ray-new", os.getpid())):
        (tmp_path / name / "worker-0").mkdir(parents=True)
        (tmp_path / name / "worker-0" / "pid").write_text(str(pid))
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["llmos-ray-new"]


def test_without_ray_it_is_said() -> None:
    with pytest.raises(NoCluster, match="make setup-ray"):
        find_cluster("127.0.0.1:1", None, 0)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A head of Ray with token authentication; its address. Needs `make setup-ray`."""
    python = find_ray()
    if python is None:
        pytest.skip("Ray is not installed: make setup-ray")
    folder, port = tmp_path_factory.mktemp("ray"), free_port()
    address = f"127.0.0.1:{port}"
    # Its sockets must have short names.
    link = Path("/tmp") / f"llmos-ray-test-{os.getpid()}"
    link.symlink_to(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        env = {key: value for key, value in os.environ.items() if not key.startswith(("LLMOS_", "HF_"))}
        command = [
            str(python.parent / "ray"), "start", "--head", "--block", "--port", str(port),
            "--node-ip-address", "127.0.0.1", "--num-cpus", "4", "--include-dashboard=false",
            "--disable-usage-stats", "--object-store-memory", "200000000", "--temp-dir", str(link),
        ]  # fmt: skip
        with (folder / "head.log").open("wb") as log:
            head = subprocess.Popen(
                command,
                env=env | {"GLOO_SOCKET_IFNAME": "lo"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_until(
                lambda: _answers(address, python), limit_s=START_S, what=(folder / "head.log").read_text
            )
            yield address
        finally:
            os.killpg(head.pid, signal.SIGTERM)
            try:
                head.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(head.pid, signal.SIGKILL)
                head.wait()
            link.unlink()


def _answers(address: str, python: Path) -> bool:
    try:
        return find_cluster(address, python, 2).cores == 4
    except NoCluster:
        return False


@pytest.mark.slow
def test_two_workers_of_a_cluster_train_one_model(server: LiveServer, cluster: str, tmp_path: Path) -> None:
    jobs, api = Jobs(server), HfApi(endpoint=server.url, token=server.tokens["ada"])
    api.create_repo("ada/ray-lines", repo_type="dataset")
    text = Path(sample("english.txt")).read_bytes()[:30_000]
    api.upload_file(
        path_or_fileobj=text, path_in_repo="lines.txt", repo_id="ada/ray-lines", repo_type="dataset"
    )
    recipe = {
        "objective": "clm",
        "data": {"sources": [{"dataset": "ada/ray-lines"}], "held_out": 0.1},
        "model": {"preset": "nano", "family": "llama"},
        "training": {"max_steps": 40, "sequence_length": 64, "batch_tokens": 512, "threads": 1},
        "checkpoints": {"every_steps": 16},
        "evaluation": {"samples": 0, "max_examples": 8},
        "push": {"repo": "ada/by-ray"},
    }
    here = {"runsOn": {"test": "ray"}}
    options = ("--label", "test=ray", "--ray", cluster, "--ray-workers", "2")
    with runner(server, tmp_path / "ray", register(server, "ray"), *options):
        job = jobs.send_recipe(recipe, **here)
        info = jobs.wait(job, limit_s=240)
        told = jobs.log(job)
        assert info["status"]["stage"] == "COMPLETED", (info, told)
        assert any("2 workers on the Ray cluster" in line for line in told)
        files = {"objective": "clm", "data": {"sources": [{"files": ["/etc/passwd"]}]}}
        refused = jobs.wait(jobs.send_recipe(files, **here))
        assert "not from files" in refused["status"]["message"]
    names = api.list_repo_files("ada/by-ray")
    assert {"model.safetensors", "README.md", "metrics.json"} <= set(names)
    assert not [name for name in names if name.startswith("checkpoint")]
    metrics = json.loads(
        Path(api.hf_hub_download("ada/by-ray", "metrics.json", cache_dir=tmp_path)).read_text()
    )
    assert metrics["steps"] == 40
    assert metrics["metrics"]["loss"] < metrics["metrics"]["unigram_loss"]
    kept = api.list_repo_files("ada/by-ray", revision=f"checkpoints-{job}")
    assert "checkpoint/random-1.safetensors" in kept, "two processes took part"
    jobs.http.close()
