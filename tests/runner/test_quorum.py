"""Two machines of two people, neither trusted, train one recipe and agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from kit.runners import Jobs, register, runner
from kit.server import LiveServer
from llmos.runner.bubblewrap import probe_isolation

pytestmark = pytest.mark.slow

RECIPE: dict[str, Any] = {
    "objective": "clm",
    "data": {"sources": [{"files": ["sample:english.txt"]}], "max_chars": 20_000},
    "model": {"preset": "nano"},
    "training": {
        "max_steps": 2, "sequence_length": 32, "batch_tokens": 128, "threads": 1, "precision": "fp32",
    },
    "evaluation": {"samples": 0, "max_examples": 2},
    "push": {"repo": "ada/agreed", "private": False},
}  # fmt: skip


def test_two_machines_nobody_vouches_for_agree(server: LiveServer, tmp_path: Path) -> None:
    if problem := probe_isolation().reason:
        pytest.skip(problem)
    jobs, api = Jobs(server), HfApi(endpoint=server.url, token=server.tokens["ada"])
    job = jobs.send_recipe(RECIPE, quorum=2)
    with (
        runner(server, tmp_path / "one", register(server, "one", owner="ada")),
        runner(server, tmp_path / "two", register(server, "two", owner="grace")),
    ):
        info = jobs.wait(job, limit_s=180)
    assert info["status"]["stage"] == "COMPLETED", (info, jobs.log(job))
    assert any("Another machine has to come to the same result" in line for line in jobs.log(job))
    offers = [one for one in api.get_repo_discussions("ada/agreed") if one.is_pull_request]
    assert len(offers) == 2
    assert "model.safetensors" not in api.list_repo_files("ada/agreed"), "both are offers"
    cards = []
    for number in (1, 2):
        kept = Path(
            api.snapshot_download(
                "ada/agreed", revision=f"refs/pr/{number}", local_dir=tmp_path / f"offer-{number}"
            )
        )
        cards.append(((kept / "metrics.json").read_bytes(), (kept / "model.safetensors").read_bytes()))
    assert cards[0][0] != cards[1][0], "each ran it for itself"
    assert cards[0][1] == cards[1][1]
    jobs.http.close()
