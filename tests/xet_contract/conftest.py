"""The official client, each time as a program of its own, against the live server."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.programs import client_env, run_python
from kit.server import LiveServer

_numbers = itertools.count(1)

# Takes steps [method, arguments] of HfApi; prints their results as text.
_CLIENT = """
import json, sys
from huggingface_hub import HfApi
steps = json.loads(sys.argv[1])
api = HfApi()
print(json.dumps([str(getattr(api, name)(**options)) for name, options in steps]))
"""


def sample(kind: str, size: int, seed: int = 0) -> bytes:
    """Reproducible `size` bytes: `bf16` weights, or `noise`."""
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.bytes(size)
    weights = (rng.standard_normal(size // 2 + 1, dtype=np.float32) * 0.02).view(np.uint32)
    return (weights >> 16).astype(np.uint16).tobytes()[:size]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class HubClient:
    """HfApi in a fresh process; `home` keeps its caches between calls."""

    env: dict[str, str]
    folder: Path

    def call(self, *steps: tuple[str, dict[str, Any]]) -> list[str]:
        results: list[str] = run_python(_CLIENT, self.env, json.dumps(steps))
        return results

    def write(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)

    def upload(self, repo_id: str, path_in_repo: str, data: bytes, **options: Any) -> str:
        path = self.write(f"up-{next(_numbers)}", data)
        arguments = {"repo_id": repo_id, "path_in_repo": path_in_repo, "path_or_fileobj": path} | options
        return self.call(("upload_file", arguments))[0]

    def download(self, repo_id: str, path: str, **options: Any) -> bytes:
        arguments = {"repo_id": repo_id, "filename": path} | options
        return Path(self.call(("hf_hub_download", arguments))[0]).read_bytes()


ClientFactory = Callable[..., HubClient]


@pytest.fixture
def client(server: LiveServer, tmp_path: Path) -> ClientFactory:
    """`client("grace", HF_HUB_DISABLE_XET="1")`: a client with a home of its own each time."""

    def make(person: str | None = "ada", **extra: str) -> HubClient:
        home = tmp_path / f"home-{next(_numbers)}"
        home.mkdir()
        return HubClient(client_env(server, home, person, **extra), home)

    return make


@pytest.fixture
def repo_id(client: ClientFactory) -> str:
    """A new, empty, private repository of ada's."""
    name = f"ada/xet-{next(_numbers)}"
    client().call(("create_repo", {"repo_id": name, "private": True}))
    return name
