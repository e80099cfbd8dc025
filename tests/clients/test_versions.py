"""The same flow by other versions of the Hub client, each in an environment of its own."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from clients.versions import VERSIONS, client_python
from kit.programs import client_env, run_python
from kit.server import LiveServer

FLOW = (Path(__file__).parent / "flow.py").read_text()
NAMES = {
    "model": ["license:mit", "tiny", "zh"],
    "dataset": ["language:zh", "license:mit", "tiny"],
    "space": ["license:mit", "tiny"],
}

pytestmark = pytest.mark.clients


@pytest.fixture(scope="session", params=VERSIONS)
def python(request: pytest.FixtureRequest) -> str:
    return client_python(request.param)


# How bytes travel does not depend on the type, so plain LFS is tried with one.
@pytest.mark.parametrize(
    ("kind", "plain"), [("model", False), ("model", True), ("dataset", False), ("space", False)]
)
def test_the_whole_flow(server: LiveServer, tmp_path: Path, python: str, kind: str, plain: bool) -> None:
    repo = f"ada/flow-{uuid.uuid4().hex[:8]}"
    env = client_env(server, tmp_path, **({"HF_HUB_DISABLE_XET": "1"} if plain else {}))
    got = run_python(FLOW, env, repo, kind, python=python)
    assert got.pop("version")
    tags = got.pop("tags")
    assert [tag for tag in NAMES[kind] if tag in tags] == NAMES[kind]
    assert got == {
        "who": "ada",
        "files": [".gitattributes", "README.md", "data/文.txt", "note.txt", "weights.bin"],
        "head": True,
        "private": True,
        "sizes": {"weights.bin": 5_000_000},
        "bytes": True,
        "snapshot": True,
        "branches": ["draft", "main"],
        "tag_names": ["v1"],
        "commits": "initial commit",
        "tree": [".gitattributes", "README.md", "data", "note.txt", "weights.bin"],
        "no_entry": True,
        "no_revision": True,
        "no_repo": True,
        "listed": True,
        "squashed": 1,
        "moved": True,
        "gone": True,
    }
