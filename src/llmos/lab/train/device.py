"""What the machine computes on, and in which numbers."""

from __future__ import annotations

import os
import platform
import shutil
from functools import cache
from importlib.util import find_spec
from typing import Any

from llmos.core.errors import Unprocessable

# Threads that spin while they wait take the processor from each other: on a busy machine that costs
# up to nine tenths of the speed, on a quiet one nothing is gained by it.
ENVIRONMENT = {
    "OMP_WAIT_POLICY": "passive",
    "GOMP_SPINCOUNT": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_SAFETENSORS_CONVERSION": "1",
}
# A run on a card that is planned to be longer has its layers compiled, which takes a minute or two.
LONG_RUN_S = 600.0
CPU_FACTS = "/proc/cpuinfo"


def pick_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def pick_precision(wanted: str, device: str) -> str:
    """fp32, bf16 or fp16. "auto" takes bf16 where the hardware multiplies in it.

    Raises Unprocessable for fp16 without a CUDA card: its gradients would vanish or overflow, slowly.
    """
    import torch

    if wanted == "fp16" and device != "cuda":
        raise Unprocessable(
            "training.precision: fp16 needs a graphics card with CUDA, and this machine computes on "
            f"{device}. Leave it at auto, or set bf16 or fp32.",
            code="NeedsGpu",
        )
    if wanted != "auto":
        return wanted
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    # Emulated on other CPUs, bf16 was 2.3 times slower than fp32.
    return "bf16" if device == "cpu" and has_bf16_units() else "fp32"


def pick_compiled(wanted: bool | None, device: str, planned_s: float) -> bool:
    """Whether layers are compiled where the recipe leaves it open (None).

    On graphics cards, where a run is long enough to pay for it; never on CPUs, where no model of a size they
    can train became faster.
    """
    if wanted is not None:
        return wanted
    # Kernels for cards are built by triton, which calls a C compiler.
    can = find_spec("triton") is not None and any(map(shutil.which, (os.environ.get("CC") or "cc", "gcc")))
    return device == "cuda" and planned_s > LONG_RUN_S and can


def check_compiler() -> None:
    """Raises Unprocessable where torch.compile would find no C++ compiler for this machine's processors."""
    name = os.environ.get("CXX") or "g++"
    if pick_device() == "cpu" and shutil.which(name) is None:
        raise Unprocessable(
            f"training.compile: needs the C++ compiler {name}, which is not installed here. Install it "
            "(Debian: apt-get install g++), or leave training.compile out.",
            code="NeedsCompiler",
        )


def has_bf16_units() -> bool:
    """Whether this processor multiplies in bf16."""
    return "amx_bf16" in _cpu_flags() or "avx512_bf16" in _cpu_flags()


@cache
def _cpu_flags() -> frozenset[str]:
    try:
        with open(CPU_FACTS, encoding="utf-8") as file:
            line = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        line = ""
    return frozenset(line.split())


def set_threads(threads: int | None) -> int:
    """As many as asked, otherwise the cores this process may use; several on a machine share them."""
    import torch

    beside = int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
    count = threads or max(1, len(os.sched_getaffinity(0)) // beside)
    torch.set_num_threads(count)
    return count


def hardware() -> dict[str, Any]:
    """What the card says of the machine."""
    import torch

    facts: dict[str, Any] = {
        "cpu": _cpu_name() or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "torch": torch.__version__,
        "device": pick_device(),
    }
    if facts["device"] == "cuda":
        facts["gpu"], facts["gpus"] = torch.cuda.get_device_name(0), torch.cuda.device_count()
    return facts


def describe_machine() -> str:
    """One line for the log of a run: what computes, and with what."""
    facts = hardware()
    where = f"{facts['cores']} cores of {facts['cpu'] or 'this machine'}"
    if "gpu" in facts:
        where = f"{facts['gpus']} x {facts['gpu']}"
    return f"PyTorch {facts['torch']} on {where}"


def _cpu_name() -> str:
    try:
        with open(CPU_FACTS, encoding="utf-8") as file:
            return next((x.split(":", 1)[1].strip() for x in file if x.startswith("model name")), "")
    except OSError:
        return ""
