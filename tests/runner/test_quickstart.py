"""The quickstart in the browser: a form, the runner beside the hub, a commit, a model that loads anywhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi

from kit.browser import PASSWORD
from kit.runners import wait_until
from kit.server import LiveServer
from llmos.runner.bubblewrap import probe_isolation

LOAD = """
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained("lovelace/first-llm")
ids = AutoTokenizer.from_pretrained("lovelace/first-llm")("The people", return_tensors="pt")
print(model.generate(**ids, max_new_tokens=4).shape[0])
"""


@contextmanager
def built_in_runner(server: LiveServer, log: Path) -> Iterator[None]:
    """As `llmos up` starts it."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("LLMOS_")}
    command = [sys.executable, "-m", "llmos.cli.builtin_runner"]
    with (
        log.open("wb") as file,
        subprocess.Popen(
            command, env=env | server.env | {"LLMOS_RUNNER": "on"}, stdout=file, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()


def llmos(server: LiveServer, *words: str, stdin: str = "") -> str:
    command = [sys.executable, "-m", "llmos.cli", *words]
    return subprocess.run(
        command, env=server.env, input=stdin, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.slow
def test_from_the_form_to_a_model_that_loads(server: LiveServer, tmp_path: Path) -> None:
    if problem := probe_isolation().reason:
        pytest.skip(problem)
    llmos(server, "user", "create", "lovelace", "--password-stdin", stdin=PASSWORD)
    token = llmos(server, "token", "create", "lovelace", "--name", "laptop").split()[-1]
    headers = {"origin": server.url, "accept": "text/html"}
    with (
        httpx.Client(base_url=server.url, headers=headers, timeout=30) as browser,
        built_in_runner(server, tmp_path / "runner.log"),
    ):

        def post(path: str, page: str, **fields: str) -> httpx.Response:
            found = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(page).text)
            assert found is not None
            return browser.post(path, data={"csrf_token": found[1], **fields})

        assert post("/login", "/login", login="lovelace", password=PASSWORD).status_code == 303
        form = "/jobs/lovelace/-/new"
        assert "?start=quickstart" in browser.get(form).text
        page = browser.get(f"{form}?start=quickstart").text
        written = re.search(r'<textarea[^>]*name="yaml"[^>]*>(.*?)</textarea>', page, re.S)
        assert written is not None
        # Its own limits stay; this one is reached first.
        recipe = written[1].replace("training:\n", "training:\n  max_steps: 3\n")
        assert "max_steps: 3" in recipe
        sent = post(form, f"{form}?start=quickstart", kind="recipe", yaml=recipe, minutes="10")
        assert sent.status_code == 303, sent.text
        job = sent.headers["location"]
        info = f"/api{job}"
        api = {"Authorization": f"Bearer {token}"}

        def stage() -> str:
            return str(browser.get(info, headers=api).json()["status"]["stage"])

        over = ("COMPLETED", "ERROR", "CANCELED")
        wait_until(lambda: stage() in over, limit_s=240, what=lambda: browser.get(f"{job}/log").text)
        log = browser.get(f"{job}/log").text
        assert stage() == "COMPLETED", (log, (tmp_path / "runner.log").read_text())
        assert "train/loss" in browser.get(job).text
        files = HfApi(endpoint=server.url, token=token).list_repo_files("lovelace/first-llm")
        assert {"model.safetensors", "tokenizer.json", "README.md"} <= set(files)
        assert not [name for name in files if name.endswith((".bin", ".pt", ".pkl"))]
        assert "bits per byte" in browser.get("/lovelace/first-llm").text
    env = {key: value for key, value in os.environ.items() if not key.startswith(("LLMOS_", "HF_"))}
    env |= {"HF_ENDPOINT": server.url, "HF_TOKEN": token, "HF_HOME": str(tmp_path / "fresh")}
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD], env=env, capture_output=True, text=True, check=False
    )
    assert loaded.stdout.strip() == "1", loaded.stderr
