"""Results and checkpoints arrive as commits; pickles stay at home; a hub that is away is waited for."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from safetensors.numpy import save_file

from kit.server import LiveServer
from llmos.client.hub import Hub
from llmos.core.errors import LlmosError, RepoNotFound, RevisionNotFound, Unavailable
from llmos.lab.data.loader import load
from llmos.lab.outputs.push import CheckpointPusher, published_files, push_result
from llmos.lab.recipes.schema import Data


def result(folder: Path, number: float = 1.0) -> Path:
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    save_file({"w": np.full((2, 2), number, dtype=np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


def test_only_what_is_safe_is_published(tmp_path: Path) -> None:
    folder = result(tmp_path / "out")
    (folder / "runs").mkdir()
    (folder / "runs" / "events.out.tfevents.1").write_bytes(b"\x18\x00\x00\x00")
    (folder / "training_args.bin").write_bytes(b"x")
    (folder / "optimizer.dat").write_bytes(b"\x80\x04K\x01.")
    (folder / "zipped.weights").write_bytes(b"PK\x03\x04rest")
    (folder / "half.safetensors.part").write_bytes(b"x")
    (folder / "checkpoint-10").mkdir()
    (folder / "checkpoint-10" / "config.json").write_text("{}")
    (tmp_path / "secret.txt").write_text("token")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    assert list(published_files(folder)) == [
        "config.json", "model.safetensors", "runs/events.out.tfevents.1",
    ]  # fmt: skip


def test_a_run_pushes_and_another_reads_it(
    server: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    hub = Hub(server.url, server.tokens["ada"], retry_for_s=5)
    with CheckpointPusher(hub, "ada/pushed-llm") as pusher:
        pusher.push(result(tmp_path / "checkpoint-5", 0.5), 5)
        pusher.close()
        pusher.push(result(tmp_path / "checkpoint-9", 0.9), 9)
    assert pusher.failures == []
    assert [step for step, _ in pusher.pushed] == [5]
    oid = push_result(hub, "ada/pushed-llm", result(tmp_path / "out"), "Train tiny")
    main = hub.access_repo("ada/pushed-llm")
    assert main.commit == oid
    assert {file.path for file in main.files} >= {"config.json", "model.safetensors"}
    branch = hub.access_repo("ada/pushed-llm", revision="checkpoints")
    assert branch.commit == pusher.pushed[0][1] != oid

    rows = "\n".join(json.dumps({"text": f"Line {n} of ada."}) for n in range(60))
    hub.create_repo("ada/lines", "dataset")
    card = b"---\nlicense: cc-by-4.0\n---\n"
    first = hub.commit(
        "ada/lines", {"README.md": card, "train.jsonl": rows.encode()}, "Add", repo_type="dataset"
    )
    hub.commit(
        "ada/lines", {"train.jsonl": rows.encode()[:500]}, "Cut", repo_type="dataset", delete=["README.md"]
    )
    data = Data.model_validate({"sources": [{"dataset": "ada/lines", "revision": first}], "held_out": 0.2})
    corpus = load(data, "clm", cache=tmp_path / "cache", hub=hub)
    assert corpus.statistics.train + corpus.statistics.validation == 60
    assert (corpus.sources[0]["revision"], corpus.sources[0]["licence"]) == (first, "cc-by-4.0")

    with pytest.raises(RepoNotFound, match="no such repository"):
        hub.access_repo("ada/nothing-here")
    with pytest.raises(RevisionNotFound):
        hub.access_repo("ada/lines", "dataset", "gone")
    stranger = Hub(server.url, server.tokens["grace"], retry_for_s=5)
    with pytest.raises(LlmosError, match=r"no such repository|was refused"):
        stranger.commit("ada/pushed-llm", {"a.txt": b"x"}, "No")


class Restarting(BaseHTTPRequestHandler):
    """Answers 503 twice, as a proxy before a hub that restarts does."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = json.dumps({"id": "ada/tiny-llm", "sha": "c" * 40, "siblings": []}).encode()
        self.send_response(503 if len(self.asked) < 3 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def test_a_hub_that_restarts_is_waited_for() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Restarting) as stub:
        thread = threading.Thread(target=stub.serve_forever)
        thread.start()
        hub = Hub(f"http://127.0.0.1:{stub.server_port}", "none", first_wait_s=0.01)
        assert hub.access_repo("ada/tiny-llm").commit == "c" * 40
        assert len(Restarting.asked) == 3
        stub.shutdown()
        thread.join()


def test_a_hub_that_stays_away_is_given_up(tmp_path: Path) -> None:
    hub = Hub("http://127.0.0.1:9", "none", retry_for_s=0.5)
    with pytest.raises(Unavailable, match="does not answer"):
        hub.access_repo("ada/tiny-llm")
    with CheckpointPusher(hub, "ada/tiny-llm") as pusher:
        pusher.push(result(tmp_path / "checkpoint-1"), 1)
    assert pusher.pushed == []
    assert "step 1: " in pusher.failures[0]
