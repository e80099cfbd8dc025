"""Other versions of the Hub client, each in an environment of its own below `.cache/clients`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The oldest still in wide use, the newest of the 1.x line, and the one of the test environment.
VERSIONS = {
    "0.36": ["huggingface_hub==0.36.2", "hf_xet==1.1.10"],
    "1.18": ["huggingface_hub==1.18.0", "hf_xet==1.4.3"],
    "1.33": ["huggingface_hub==1.33.0", "hf_xet==1.7.1"],
    "2.4": ["huggingface_hub==2.4.0", "hf_xet==1.8.0"],
}


def client_python(version: str) -> str:
    """The Python of an environment that holds exactly this client, made where there is none yet."""
    if version == "2.4":
        return sys.executable
    folder = ROOT / ".cache" / "clients" / version
    program = folder / "bin" / "python"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", program, *VERSIONS[version]], check=True)
        (folder / "ready").touch()
    return str(program)
