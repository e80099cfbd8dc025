"""A machine is lost for good in the middle of a training: another one, with nothing of it, ends the run."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from kit.databases import Databases
from kit.people import add_people
from kit.runners import Jobs, register, runner, start_runner, wait_until, worker
from kit.server import LiveServer, live_server
from llmos.infra.runtime import open_runtime
from llmos.infra.settings import Settings
from llmos.lab.outputs.push import is_pickle
from llmos.lab.samples import sample
from llmos.runner.bubblewrap import probe_isolation

pytestmark = pytest.mark.slow

STEPS, EVERY = 120, 10


def recipe(repo: str) -> dict[str, Any]:
    """With dropout and masked words: what is drawn at random must go on, too."""
    return {
        "objective": "mlm",
        "data": {"sources": [{"dataset": "ada/lines"}], "held_out": 0.1},
        "model": {"preset": "nano", "family": "roberta", "overrides": {"hidden_dropout_prob": 0.1}},
        "training": {
            "max_steps": STEPS,
            "sequence_length": 64,
            "batch_tokens": 512,
            "threads": 1,
            "ema": 0.9,
        },
        "checkpoints": {"every_steps": EVERY},
        "evaluation": {"samples": 0, "max_examples": 8},
        "push": {"repo": repo},
    }


def test_another_machine_ends_the_run_bit_by_bit(tmp_path: Path, _databases: Databases) -> None:  # noqa: PT019
    if problem := probe_isolation().reason:
        pytest.skip(problem)
    home = tmp_path / "home"
    extra = {**_databases.fill(home), "job_lease_s": "5"}
    rt = open_runtime(Settings(home=home, **_databases.fill(home)))
    tokens = add_people(rt)
    rt.close()
    with live_server(home, **extra) as server, worker(server):
        server.tokens.update(tokens)
        _lose_a_machine(server, tmp_path)


def _lose_a_machine(server: LiveServer, tmp_path: Path) -> None:
    jobs, api = Jobs(server), HfApi(endpoint=server.url, token=server.tokens["ada"])
    api.create_repo("ada/lines", repo_type="dataset")
    text = Path(sample("english.txt")).read_bytes()[:30_000]
    card = b"---\nlicense: cc-by-4.0\n---\n"
    for path, content in (("README.md", card), ("lines.txt", text)):
        api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id="ada/lines", repo_type="dataset")
    lost = start_runner(server, tmp_path / "lost", register(server, "lost"))
    try:
        job = jobs.send_recipe(recipe("ada/found"))
        branch = f"checkpoints-{job}"
        # When the second is there the hub knows of the first.
        wait_until(lambda: len(steps(api, "ada/found", branch)) > 1, limit_s=90, what=lambda: jobs.log(job))
    finally:
        lost.send_signal(signal.SIGKILL)
        lost.wait()
    assert jobs.stage(job) == "RUNNING", "the run must not have been over"
    with runner(server, tmp_path / "other", register(server, "other")):
        info = jobs.wait(job, limit_s=180)
        assert info["status"]["stage"] == "COMPLETED", (info, jobs.log(job))
        whole = jobs.send_recipe(recipe("ada/whole"))
        info = jobs.wait(whole, limit_s=120)
        assert info["status"]["stage"] == "COMPLETED", (info, jobs.log(whole))
    assert any("Going on from" in line for line in jobs.log(job)), jobs.log(job)
    assert not any("Going on from" in line for line in jobs.log(whole))
    models = [
        Path(api.hf_hub_download(repo, "model.safetensors", cache_dir=tmp_path / "cache")).read_bytes()
        for repo in ("ada/found", "ada/whole")
    ]
    assert models[0] == models[1]
    assert not [name for name in api.list_repo_files("ada/found") if name.startswith("checkpoint")]
    _tells_its_story(api, jobs.log(job), tmp_path)
    kept = Path(api.snapshot_download("ada/found", revision=branch, cache_dir=tmp_path / "cache"))
    assert not [path.name for path in kept.rglob("*") if path.is_file() and is_pickle(path)]
    jobs.http.close()


def _tells_its_story(api: HfApi, log: list[str], folder: Path) -> None:
    """What a recipe left open stands in the log; on the card data, commit and licence, and all of the run."""
    assert any(line.startswith("optimiser.learning_rate") and "preset nano" in line for line in log), log
    commit = api.dataset_info("ada/lines").sha
    card, found, used = (
        Path(api.hf_hub_download("ada/found", name, cache_dir=folder / "cache")).read_text(encoding="utf-8")
        for name in ("README.md", "metrics.json", "recipe.resolved.yaml")
    )
    assert f"| ada/lines | `{str(commit)[:12]}` | cc-by-4.0 |" in card
    assert "license: cc-by-4.0" in card
    assert f"revision: {commit}" in used
    metrics = json.loads(found)
    assert (metrics["steps"], metrics["sources"][0]["revision"]) == (STEPS, commit)


def steps(api: HfApi, repo: str, branch: str) -> list[str]:
    """The checkpoints that have arrived."""
    try:
        commits = api.list_repo_commits(repo, revision=branch)
    except HfHubHTTPError:
        return []
    return [commit.title for commit in commits if commit.title.startswith("Step")]
