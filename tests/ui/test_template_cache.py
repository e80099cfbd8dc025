"""Compiled templates are kept between processes, and never believed when they do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment

from llmos.ui.template_cache import CompiledTemplates


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    return tmp_path / "compiled"


def render(folder: Path, source: str = "Hello {{ name }}") -> str:
    """As a new process would: nothing is in memory."""
    env = Environment(
        loader=DictLoader({"a": source}), bytecode_cache=CompiledTemplates(folder), autoescape=True
    )
    return env.get_template("a").render(name="ada")


def test_code_is_kept_and_used(folder: Path) -> None:
    assert render(folder) == "Hello ada"
    (kept,) = folder.iterdir()
    kept.write_bytes(kept.read_bytes().replace(b"Hello", b"HELLO"))
    assert render(folder) == "HELLO ada"


@pytest.mark.parametrize("damage", ["source", "cut", "version", "rubbish"])
def test_what_does_not_fit_is_made_again(folder: Path, damage: str) -> None:
    render(folder)
    (kept,) = folder.iterdir()
    data = kept.read_bytes()
    if damage == "source":
        assert render(folder, "Bye {{ name }}") == "Bye ada"
        return
    head = data.index(b"\n", data.index(b"\n") + 1) + 1
    kept.write_bytes(
        {"cut": data[: head + 9], "version": b"x" + data[1:], "rubbish": data[:head] + b"\0\1"}[damage]
    )
    assert render(folder) == "Hello ada"
    assert kept.read_bytes() == data


def test_a_folder_that_cannot_be_written(folder: Path) -> None:
    folder.write_text("a file")
    assert render(folder) == "Hello ada"
