"""The same flow by other versions of the Hub client, each in an environment of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from kit.programs import client_env, run_python
from kit.server import LiveServer

ROOT = Path(__file__).parents[2]
FLOW = (Path(__file__).parent / "flow.py").read_text()
# The oldest still in wide use, the newest of the 1.x line, and the one of the test environment.
VERSIONS = {
    "0.36": ["huggingface_hub==0.36.2", "hf_xet==1.1.10"],
    "1.18": ["huggingface_hub==1.18.0", "hf_xet==1.4.3"],
    "1.33": ["huggingface_hub==1.33.0", "hf_xet==1.7.1"],
    "2.4": ["huggingface_hub==2.4.0", "hf_xet==1.8.0"],
}
NAMES = {
    "model": ["license:mit", "tiny", "zh"],
    "dataset": ["language:zh", "license:mit", "tiny"],
    "space": ["license:mit", "tiny"],
}

pytestmark = pytest.mark.clients


@pytest.fixture(scope="session", params=VERSIONS)
def python(request: pytest.FixtureRequest) -> str:
    """The Python of an environment that holds exactly this client; kept in `.cache/clients`."""
    if request.param == "2.4":
        return sys.executable
    folder = ROOT / ".cache" / "clients" / request.param
    program = folder / "bin" / "python"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
        subprocess.run(
            [uv, "pip", "install", "-q", "--python", program, *VERSIONS[request.param]], check=True
        )
        (folder / "ready").touch()
    return str(program)


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
