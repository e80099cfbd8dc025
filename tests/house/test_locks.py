"""What the program imports is what its environments hold: the tests' own has four times as much."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/llmos"
SERVER = ("app", "cli", "core", "features", "infra", "protocols", "records", "ui", "wire")
MACHINE = ("client", "core", "lab", "records", "runner", "wire")
# Installed beside the lock, or by those who want it; every use of them says so where they are missing.
OPTIONAL = {"torch", "bitsandbytes", "llama-cpp", "lm-eval", "ray", "vllm"}


def _locked(name: str) -> set[str]:
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    return {entry.lower().replace("_", "-") for entry in re.findall(r"^([\w.-]+)==", text, re.M)}


def _imported(room: str) -> dict[str, Path]:
    """Top-level modules that a room's code imports anywhere, each with a file that does."""
    found: dict[str, Path] = {}
    for path in (SOURCE / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            found |= {name.split(".")[0]: path for name in names}
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names}


@lru_cache
def _owners() -> Mapping[str, list[str]]:
    return packages_distributions()


def _distributions(module: str) -> set[str]:
    return {name.lower().replace("_", "-") for name in _owners().get(module, [module])}


@pytest.mark.parametrize(("lock", "rooms"), [("hub", SERVER), ("lab", MACHINE)])
def test_environment_holds_what_is_imported(lock: str, rooms: tuple[str, ...]) -> None:
    known = _locked(lock) | OPTIONAL | {"llmos"}
    missing = {
        f"{module} ({path.relative_to(ROOT)})"
        for room in rooms
        for module, path in _imported(room).items()
        if not _distributions(module) & known
    }
    assert not missing, f"not in requirements/{lock}.lock"
