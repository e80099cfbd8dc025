"""The quickstart as a new user meets it: one command, a commit, a model that loads anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi

from kit.server import LiveServer
from llmos.cli.root import main
from llmos.lab.__main__ import main as lab
from llmos.lab.outputs.push import is_pickle
from llmos.lab.recipes.load import load_recipe
from llmos.lab.samples import RECIPES

LOAD = """
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained("ada/first-llm")
tokenizer = AutoTokenizer.from_pretrained("ada/first-llm")
text = "The people of \\u5bd2\\u5c71"
ids = tokenizer(text, return_tensors="pt")
assert tokenizer.decode(ids["input_ids"][0], skip_special_tokens=True) == text
assert model.generate(**ids, max_new_tokens=4, do_sample=False).shape[1] == ids["input_ids"].shape[1] + 4
print(sum(p.numel() for p in model.parameters()))
"""


# What docs/user/first-model.md prints.
PARAMETERS = 1_869_056
LIMIT_S = 300


def environment(server: LiveServer, folder: Path) -> dict[str, str]:
    """What a person sets: where the hub is, and who they are."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("LLMOS_", "HF_"))}
    return env | {
        "HF_ENDPOINT": server.url,
        "HF_TOKEN": server.tokens["ada"],
        "HF_HOME": str(folder / "hf"),
        "LLMOS_LAB_CACHE": str(folder / "cache"),
    }


def run(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *words], env=env, capture_output=True, text=True, timeout=LIMIT_S + 60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_from_one_command_to_a_model_that_loads(server: LiveServer, tmp_path: Path) -> None:
    env = environment(server, tmp_path)
    output = tmp_path / "first"
    done = run(
        env, "-m", "llmos.cli", "train", "quickstart", "--max-steps", "2",
        "--output", str(output), "--push", "ada/first-llm", "--json",
    )  # fmt: skip
    [line] = done.stdout.splitlines()
    told = json.loads(line)
    assert (told["steps"], told["parameters"]) == (2, PARAMETERS)
    # Of each row's 256 tokens, the first of a document is not guessed.
    assert 2 * 2000 < told["tokens"] < 2 * 2048
    assert 0 < told["metrics"]["bits_per_byte"] < 8

    api = HfApi(endpoint=server.url, token=server.tokens["ada"])
    files = api.list_repo_files("ada/first-llm")
    assert {"README.md", "recipe.yaml", "model.safetensors", "tokenizer.json", "training-curve.svg"} <= {
        *files
    }
    assert any(name.startswith("runs/events.out.tfevents.") for name in files)
    copy = Path(api.snapshot_download("ada/first-llm", local_dir=tmp_path / "copy"))
    here = [str(tmp_path), f".{os.uname().nodename}.", str(Path(__file__).parents[2])]
    for name in files:
        content = (copy / name).read_bytes()
        assert not is_pickle(copy / name), name
        assert [place for place in here if len(place) > 4 and place.encode() in content + name.encode()] == []
    pushed = load_recipe(copy / "recipe.yaml")
    assert pushed.data.sources[0].files == ["sample:english.txt", "sample:chinese.txt"]
    assert (pushed.model.preset, pushed.optimiser.name) == ("tiny", "muon")

    loaded = run(env | {"HF_HOME": str(tmp_path / "fresh")}, "-c", LOAD)
    assert loaded.stdout.strip() == str(told["parameters"])
    import httpx

    page = httpx.get(f"{server.url}/ada/first-llm", headers={"Authorization": f"Bearer {api.token}"}).text
    assert "training-curve.svg" in page
    assert "bits per byte" in page


def test_the_recipe_as_it_is_shipped_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own limits: told to stop sooner by one that stands beside them."""
    monkeypatch.setenv("LLMOS_LAB_CACHE", str(tmp_path / "cache"))
    text = RECIPES["quickstart"].read_text(encoding="utf-8")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text.replace("training:\n", "training:\n  max_steps: 1\n"), encoding="utf-8")
    assert load_recipe(recipe).training.max_steps == 1
    assert (load_recipe(recipe).training.max_minutes, load_recipe(recipe).training.max_epochs) == (4, 6)
    assert lab(["run", str(recipe), "--output", str(tmp_path / "out")]) == 0
    told = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (told["steps"], told["parameters"]) == (1, PARAMETERS)
    assert 2000 < told["tokens"] < 2048
    assert set(told["data"]["spelling"]["languages"]) == {"en", "zh"}


@pytest.mark.slow
def test_the_whole_quickstart_takes_less_than_five_minutes(server: LiveServer, tmp_path: Path) -> None:
    """Nothing cached, and the model pushed; it has learnt more than how frequent bytes are, or tokens."""
    env = environment(server, tmp_path)
    started_at = time.monotonic()
    words = ("train", "quickstart", "--output", str(tmp_path / "whole"), "--push", "ada/whole-llm", "--json")
    done = run(env, "-m", "llmos.cli", *words)
    assert time.monotonic() - started_at < LIMIT_S
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["steps"] > 100
    assert told["metrics"]["bits_per_byte"] < 3.2
    assert told["metrics"]["loss"] < 0.8 * told["metrics"]["unigram_loss"]
    loaded = run(env | {"HF_HOME": str(tmp_path / "fresh")}, "-c", LOAD.replace("first-llm", "whole-llm"))
    assert loaded.stdout.strip() == str(PARAMETERS)


def test_options_beside_a_recipe_are_said_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that was asked for is silently left out."""
    started: list[list[str]] = []
    monkeypatch.setattr("llmos.cli.lab_process.run_lab", lambda words: started.append(words) or 0)
    recipe = tmp_path / "deep" / "mine.yaml"
    recipe.parent.mkdir()
    recipe.write_text(
        "objective: clm\ndata: {sources: [{files: [a.txt]}]}\ntraining: {max_steps: 9, seed: 3}\n", "utf-8"
    )
    words = ["train", str(recipe), "--output", str(tmp_path / "o"), "--max-minutes", "2", "--push", "ada/x"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    written = load_recipe(Path(started[0][1]))
    assert written.data.sources[0].files == [str(recipe.parent / "a.txt")]
    assert (written.training.max_minutes, written.training.max_steps, written.training.seed) == (2, None, 3)
    assert written.push.repo == "ada/x"
    assert "--defaults" in started[0]
    assert "--defaults" not in _started(started, [*words, "--no-defaults"])
    assert "--defaults" not in _started(started, [*words, "--json"])
    refused = CliRunner().invoke(main, [*words, "--family", "bert"])
    assert "needs a family of llama" in refused.output
    assert "Name a recipe (a file, or quickstart)" in CliRunner().invoke(main, ["train"]).output
    assert "There is no file quickstop" in CliRunner().invoke(main, ["train", "quickstop"]).output


def _started(started: list[list[str]], words: list[str]) -> list[str]:
    CliRunner().invoke(main, words)
    return started[-1]


@pytest.mark.parametrize(
    ("repo", "token", "words"),
    [("ada/nowhere", "", "Set HF_TOKEN"), ("grace/not-mine", "ada", "don't have the rights")],
)
def test_what_cannot_be_pushed_is_told_before_the_run(
    server: LiveServer, tmp_path: Path, repo: str, token: str, words: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("HF_TOKEN", server.tokens.get(token, ""))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "objective: clm\ndata: {sources: [{files: ['sample:english.txt']}]}\n" + f"push: {{repo: {repo}}}"
    )
    assert lab(["run", str(recipe), "--output", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert not (tmp_path / "out").exists()
