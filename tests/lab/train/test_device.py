"""What is chosen for a machine. The machine itself is played: its facts are a file, its card a word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos.lab.train import device
from llmos.lab.train.device import LONG_RUN_S, has_bf16_units, pick_compiled, pick_precision


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    device._cpu_flags.cache_clear()
    yield
    device._cpu_flags.cache_clear()


@pytest.mark.parametrize(
    ("facts", "precision"),
    [
        ("processor : 0\nflags\t\t: fpu avx2 avx512f\n", "fp32"),
        ("processor : 0\nflags\t\t: fpu avx512f avx512_bf16\n", "bf16"),
        ("processor : 0\nflags\t\t: amx_bf16 amx_tile\n", "bf16"),
        ("processor : 0\nmodel name : avx512_bf16\n", "fp32"),
        ("", "fp32"),
        (None, "fp32"),
    ],
)
def test_precision_follows_the_processor(
    facts: str | None, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cpuinfo"
    if facts is not None:
        path.write_text(facts)
    monkeypatch.setattr(device, "CPU_FACTS", str(path))
    assert has_bf16_units() == (precision == "bf16")
    assert pick_precision("auto", "cpu") == precision
    assert pick_precision("fp32", "cpu") == "fp32"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with triton and a C compiler, and nothing else."""
    (tmp_path / "triton.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    compiler = tmp_path / "gcc"
    compiler.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    return compiler


@pytest.mark.parametrize(
    ("wanted", "where", "planned_s", "found"),
    [
        (None, "cpu", 10 * LONG_RUN_S, False),
        (None, "mps", 10 * LONG_RUN_S, False),
        (None, "cuda", LONG_RUN_S, False),
        (None, "cuda", 10 * LONG_RUN_S, True),
        (False, "cuda", 10 * LONG_RUN_S, False),
        (True, "cpu", 1.0, True),
    ],
)
@pytest.mark.usefixtures("tools")
def test_layers_are_compiled_where_it_pays(
    wanted: bool | None, where: str, planned_s: float, found: bool
) -> None:
    assert pick_compiled(wanted, where, planned_s) == found


def test_without_a_compiler_nothing_is_compiled_by_itself(tools: Path) -> None:
    tools.unlink()
    assert not pick_compiled(None, "cuda", 10 * LONG_RUN_S)
