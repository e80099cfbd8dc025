"""Two instances, each with a server, a key and a log of its own, check each other's records."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import HfApi

import llmos
from kit.databases import Databases
from kit.people import add_people
from kit.server import LiveServer, live_server
from kit.tiny_models import make_model
from llmos.infra.runtime import open_runtime
from llmos.infra.settings import Settings
from llmos.records.bundle import sign_bundle
from llmos.records.canonical import canonical
from llmos.records.keys import create_private_key

SAMPLES = Path(llmos.__path__[0]) / "lab" / "samples" / "benchmarks"
MODEL, BENCHMARK = "ada/travelled", "ada/poem-lines-abroad"


@pytest.fixture
def north(tmp_path: Path, _databases: Databases) -> Iterator[LiveServer]:
    home = tmp_path / "north"
    extra = _databases.fill(home)
    runtime = open_runtime(Settings(home=home, **extra))
    tokens = add_people(runtime)
    runtime.close()
    with live_server(home, **extra) as live:
        live.tokens.update(tokens)
        yield live


def hub_of(server: LiveServer) -> HfApi:
    return HfApi(endpoint=server.url, token=server.tokens["ada"])


def run(server: LiveServer, *words: object) -> subprocess.CompletedProcess[str]:
    """A command on the machine of `server`, which knows nothing of the other one."""
    env = {**server.env, "HF_ENDPOINT": server.url, "HF_TOKEN": server.tokens["ada"]}
    env |= {"LLMOS_LAB_PYTHON": sys.executable, "HF_HOME": str(server.home.parent / "hf")}
    command = [sys.executable, "-m", "llmos.cli", *map(str, words)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def run_json(server: LiveServer, *words: object) -> Any:
    done = run(server, *words, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def put_content(server: LiveServer, model: Path) -> None:
    hub = hub_of(server)
    for name, kind, folder in ((MODEL, "model", model), (BENCHMARK, "dataset", SAMPLES / "tang-cloze")):
        hub.create_repo(name, repo_type=kind)
        hub.upload_folder(repo_id=name, repo_type=kind, folder_path=folder)


def push_bundle(server: LiveServer, bundle: Path, record_id: str) -> None:
    place = f".eval_results/bundles/{record_id}"
    hub_of(server).upload_folder(repo_id=MODEL, folder_path=bundle, path_in_repo=place)


def board(server: LiveServer) -> list[Any]:
    return list(hub_of(server).get_dataset_leaderboard(BENCHMARK))


@pytest.mark.slow
def test_two_instances_check_each_other_with_the_public_key_alone(
    server: LiveServer, north: LiveServer, tmp_path: Path
) -> None:
    model = make_model(tmp_path / "model")
    sides = {"north": (north, server), "south": (server, north)}
    for one in (north, server):
        put_content(one, model)
    for name, (signer, reader) in sides.items():
        bundle, key = tmp_path / f"of-{name}", tmp_path / f"{name}.pem"
        options = ("--model", MODEL, "--benchmark", BENCHMARK, "--limit", "12", "--threads", "1")
        # Other seeds make other records; the questions and the answers are the same.
        made = run_json(signer, "eval", "run", *options, "--seed", len(name + key.stem), "--bundle", bundle)
        assert made["log_entry"] is not None
        key.write_text(httpx.get(f"{signer.url}/benchmarks/key.pem").text)
        # By command, offline, with the log's proof in the bundle.
        told = run_json(reader, "eval", "verify", bundle, "--key", key, "--model", model)
        assert told["good"]
        assert {"log position", "weights", "intervals"} <= set(told["checked"])
        before = {row.filename for row in board(reader)}
        push_bundle(reader, bundle, made["record_id"])
        # Nobody said yet whose key this is.
        assert {row.filename for row in board(reader)} == before
        run_json(reader, "key", "trust", name, key)
        hub_of(reader).upload_file(path_or_fileobj=b"x", path_in_repo=f"{name}.txt", repo_id=MODEL)
        (row,) = board(reader)
        assert (row.model_id, row.verified) == (MODEL, True)
        page = httpx.get(f"{reader.url}/benchmarks/records/{made['record_id']}").text
        assert made["keyid"] in page
        assert f"<dd>{name}</dd>" in page
        _refuse_forgery(reader, bundle, tmp_path / f"forged-{name}", key)
    assert [one["name"] for one in run_json(north, "key", "trusted")] == ["south"]


def _refuse_forgery(reader: LiveServer, bundle: Path, forged: Path, key: Path) -> None:
    """The best score there is, signed by somebody else, or under the signature of the true record."""
    shutil.copytree(bundle, forged)
    value = json.loads((forged / "statement.json").read_bytes())
    value["predicate"]["metrics"][0]["value"] = 1.0
    (forged / "statement.json").write_bytes(canonical(value))
    sign_bundle(forged, create_private_key())
    checked = run(reader, "eval", "verify", forged, "--key", key, "--json")
    assert checked.returncode == 1
    assert {"signer", "metric"} <= set(json.loads(checked.stdout)["culprits"])
    before = [(row.value, row.verified) for row in board(reader)]
    push_bundle(reader, forged, "f" * 32)
    assert [(row.value, row.verified) for row in board(reader)] == before
    assert httpx.get(f"{reader.url}/benchmarks/records/{'f' * 32}").status_code == 404
