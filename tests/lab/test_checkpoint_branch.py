"""A run at home commits its checkpoints while it goes on; whoever has one goes on from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import HfApi

from kit.server import LiveServer
from llmos.lab.__main__ import main
from llmos.lab.outputs.push import is_pickle
from llmos.lab.recipes.load import load_recipe

RECIPE = """
objective: clm
data: {max_chars: 20000, held_out: 0.2, sources: [{files: ["sample:english.txt"], unit: paragraph}]}
model: {preset: nano}
training: {max_steps: 3, sequence_length: 32, batch_tokens: 128, threads: 1, precision: fp32}
checkpoints: {every_steps: 1}
evaluation: {samples: 0, max_examples: 2}
push: {repo: ada/kept-llm}
"""


def test_checkpoints_arrive_on_their_branch(
    server: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOS_LAB_CACHE", str(tmp_path / "cache"))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    with monkeypatch.context() as here:
        here.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        here.setenv("HF_TOKEN", server.tokens["ada"])
        assert main(["run", str(recipe), "--output", str(tmp_path / "out")]) == 0

    api = HfApi(endpoint=server.url, token=server.tokens["ada"])
    titles = [commit.title for commit in api.list_repo_commits("ada/kept-llm", revision="checkpoints")]
    assert titles[0] == "Checkpoint of step 3"
    assert set(titles[1:]) <= {"Checkpoint of step 2", "Checkpoint of step 1", titles[-1]}
    assert not [name for name in api.list_repo_files("ada/kept-llm") if name.startswith("lab_state")]
    kept = Path(
        api.snapshot_download("ada/kept-llm", revision="checkpoints", local_dir=tmp_path / "checkpoint-3")
    )
    files = {path.name: path for path in kept.iterdir() if path.is_file()}
    assert {"lab_state.json", "model.safetensors", "optimizer.safetensors", "tokenizer.json"} <= files.keys()
    assert not [name for name, path in files.items() if is_pickle(path)]
    assert not [path for path in files.values() if str(tmp_path).encode() in path.read_bytes()]

    # Nobody else's commits: this time the model stays here.
    alone = recipe.read_text(encoding="utf-8").replace("push: {repo: ada/kept-llm}\n", "")
    recipe.write_text(alone, encoding="utf-8")
    assert load_recipe(recipe).push.repo is None
    other = tmp_path / "other"
    assert main(["run", str(recipe), "--output", str(other), "--resume", str(kept)]) == 0
    weights = [(folder / "model.safetensors").read_bytes() for folder in (tmp_path / "out", other)]
    assert weights[0] == weights[1]
