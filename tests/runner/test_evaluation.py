"""A button pressed, a score anybody can check: the hub, its worker, its runner and the lab together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi, snapshot_download

import llmos
from kit.runners import register, start_runner, wait_until, worker
from kit.server import LiveServer
from kit.tiny_models import make_model
from llmos.runner.bubblewrap import probe_isolation

SAMPLES = Path(llmos.__path__[0]) / "lab" / "samples"
MODEL, BENCHMARK = "ada/judged", "ada/poem-lines"
OVER = ("COMPLETED", "ERROR", "CANCELED")


def run_llmos(server: LiveServer, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "llmos.cli", *words]
    return subprocess.run(command, env=server.env, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_from_the_button_to_a_score_anybody_can_check(server: LiveServer, tmp_path: Path) -> None:
    if problem := probe_isolation().reason:
        pytest.skip(problem)
    hub = HfApi(endpoint=server.url, token=server.tokens["ada"])
    for name, kind, folder in (
        (MODEL, "model", make_model(tmp_path / "model")),
        (BENCHMARK, "dataset", SAMPLES / "benchmarks" / "tang-cloze"),
    ):
        hub.create_repo(name, repo_type=kind)
        hub.upload_folder(repo_id=name, repo_type=kind, folder_path=folder)
    headers = {"Authorization": f"Bearer {server.tokens['ada']}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=30) as ada:
        asked = {"benchmarks": [{"dataset": BENCHMARK}], "limit": 12}
        answer = ada.post(f"/api/models/{MODEL}/evaluations", json=asked)
        assert answer.status_code == 201, answer.text
        (job,) = answer.json()["jobs"]
        place = f"/jobs/ada/{job['id']}"

        def stage() -> str:
            return str(ada.get(f"/api{place}").json()["status"]["stage"])

        def told() -> str:
            log = ada.get(f"{place}/log", headers={"accept": "text/html"}).text
            return log + (tmp_path / "runner/runner.log").read_text()

        runner = start_runner(server, tmp_path / "runner", register(server, "judge"))
        try:
            with worker(server):
                wait_until(lambda: stage() in OVER, limit_s=240, what=told)
                assert stage() == "COMPLETED", told()
                wait_until(
                    lambda: list(hub.get_dataset_leaderboard(BENCHMARK)),
                    what=(server.home / "worker.log").read_text,
                )
        finally:
            runner.terminate()
            runner.wait(20)
        (row,) = hub.get_dataset_leaderboard(BENCHMARK)
        assert (row.model_id, row.verified) == (MODEL, True)
        (result,) = hub.model_info(MODEL, expand=["evalResults"]).eval_results or []
        assert result.value == row.value
    copy = Path(
        snapshot_download(MODEL, endpoint=server.url, token=server.tokens["ada"], local_dir=tmp_path / "copy")
    )
    (bundle,) = (copy / ".eval_results" / "bundles").iterdir()
    key = tmp_path / "hub.pem"
    key.write_text(httpx.get(f"{server.url}/benchmarks/key.pem").text)
    checked = run_llmos(
        server, "eval", "verify", str(bundle), "--key", str(key), "--model", str(copy), "--json"
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert json.loads(checked.stdout)["good"] is True
