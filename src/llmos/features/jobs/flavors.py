"""Names of hardware, and what an image asks of a machine.

The names are the Hub's, so that commands written for it work here; what they mean here is the least
a runner must have free. Nothing costs money.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llmos.core.errors import BadRequest, NotBuilt
from llmos.infra.i18n import lazy
from llmos.wire.jobs import Resources

GIB = 1024**3
DEFAULT_FLAVOR = "cpu-basic"


@dataclass(frozen=True, slots=True)
class Flavor:
    """`gpu` is what the name promises elsewhere; here any GPU with that much memory will do."""

    name: str
    title: str
    cores: float
    memory_bytes: int
    gpus: int = 0
    gpu_memory_bytes: int = 0
    gpu: str = ""

    @property
    def resources(self) -> Resources:
        return Resources(
            cores=self.cores,
            memory_bytes=self.memory_bytes,
            gpus=self.gpus,
            gpu_memory_bytes=self.gpu_memory_bytes,
            flavor=self.name,
        )


_CPU = (
    Flavor("cpu-basic", "CPU basic", 1, GIB),
    Flavor("cpu-upgrade", "CPU upgrade", 4, 8 * GIB),
    Flavor("cpu-performance", "CPU performance", 8, 16 * GIB),
    Flavor("cpu-xl", "CPU XL", 16, 64 * GIB),
)
# family -> (GPU, GiB of memory, counts, how a single one is spelled)
_GPU: dict[str, tuple[str, int, tuple[int, ...]]] = {
    "t4-small": ("T4", 14, (1,)),
    "t4-medium": ("T4", 14, (1,)),
    "l4": ("L4", 22, (1, 4)),
    "l40s": ("L40S", 44, (1, 4, 8)),
    "a10g-small": ("A10G", 22, (1,)),
    "a10g-large": ("A10G", 22, (1, 2, 4)),
    "a100-large": ("A100", 76, (1,)),
    "a100": ("A100", 76, (4, 8)),
    "h200": ("H200", 135, (1, 2, 4, 8)),
    "rtx-pro-6000": ("RTX PRO 6000", 92, (1, 2, 4, 8)),
}


def _gpu_flavors() -> list[Flavor]:
    found = []
    for family, (gpu, memory_gib, counts) in _GPU.items():
        for count in counts:
            is_plain = count == 1 and family not in ("l4", "l40s")
            name = family if is_plain else f"{family}x{count}"
            title = f"{gpu} × {count}"
            found.append(Flavor(name, title, 2 * count, 4 * GIB * count, count, memory_gib * GIB, gpu))
    return found


FLAVORS: dict[str, Flavor] = {flavor.name: flavor for flavor in (*_CPU, *_gpu_flavors())}


def find_flavor(name: str) -> Flavor:
    """Raises BadRequest that lists the names."""
    flavor = FLAVORS.get(name)
    if flavor is None:
        raise BadRequest(
            lazy(
                "There is no hardware called %(name)s: use one of %(names)s.",
                name=repr(name[:60]),
                names=", ".join(FLAVORS),
            ),
            data={"field": "flavor"},
        )
    return flavor


# What a sandbox without a container engine can stand in for: a Python, or uv, which brings its own.
_PYTHON_IMAGE = re.compile(
    r"(?:docker\.io/)?(?:library/)?python(?::(?:latest|3(?:\.\d+){0,2})(?:-(?:slim|bookworm|trixie|bullseye|alpine)[\w.]*)*)?"
)
_UV_IMAGE = re.compile(r"(?:ghcr\.io/)?(?:astral-sh/)?uv(?::[\w.-]+)?")


def needs_container(image: str) -> bool:
    """Whether an image means more than "this Python": then only runners with podman or docker take it."""
    return bool(image) and not (_PYTHON_IMAGE.fullmatch(image) or _UV_IMAGE.fullmatch(image))


def refuse_space_image(space: str) -> None:
    """The image of a Space would have to be built first, which this version does not do."""
    raise NotBuilt(
        lazy(
            "Running the image of a Space (%(space)s) is not offered: name an image, such as python:3.12.",
            space=space[:120],
        )
    )
