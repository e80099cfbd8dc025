"""Several processes that train one model: who is who, and what they must agree on.

Started by torchrun, or by Ray Train, which sets the group up itself. Alone, everything here costs nothing.
What is shared goes as numbers and bytes, never as pickles.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import torch
from torch import distributed

from llmos.lab.train.errors import TrainingStopped


@contextmanager
def joined() -> Iterator[None]:
    """Be one of the processes torchrun started, if it did. Raises RuntimeError when they do not meet."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or distributed.is_initialized():
        yield
        return
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def size() -> int:
    is_there = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if is_there else 1


def rank() -> int:
    return distributed.get_rank() if size() > 1 else 0


def is_first() -> bool:
    """The process that writes files and speaks."""
    return rank() == 0


@contextmanager
def first_of_machine_first() -> Iterator[None]:
    """One process of each machine goes ahead, so that the others find its caches."""
    goes_ahead = os.environ.get("LOCAL_RANK", "0") == "0"
    if size() > 1 and not goes_ahead:
        distributed.barrier()
    yield
    if size() > 1 and goes_ahead:
        distributed.barrier()


def add_up(numbers: list[float], device: torch.device) -> list[float]:
    """The sum over all processes of each number."""
    total = torch.tensor(numbers, dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    return [float(number) for number in total.cpu()]


def agree(number: float) -> float:
    """The first process's number, in all of them."""
    if size() == 1:
        return number
    shared = torch.tensor([number], dtype=torch.float64, device=_device())
    distributed.broadcast(shared, 0)
    return float(shared.cpu()[0])


def share(value: Any) -> Any:
    """The first process's value (anything JSON holds), in all of them."""
    return json.loads(collect(json.dumps(value).encode())[0])


def collect(data: bytes) -> list[bytes]:
    """What each process has to say, in their order."""
    if size() == 1:
        return [data]
    lengths = [torch.zeros(1, dtype=torch.int64, device=_device()) for _ in range(size())]
    distributed.all_gather(lengths, torch.tensor([len(data)], device=_device()))
    longest = max(int(length) for length in lengths)
    mine = torch.zeros(longest, dtype=torch.uint8, device=_device())
    mine[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else mine[:0]
    found = [torch.zeros_like(mine) for _ in range(size())]
    distributed.all_gather(found, mine)
    return [one.cpu().numpy().tobytes()[: int(length)] for one, length in zip(found, lengths, strict=True)]


def check_same(what: str, value: str) -> None:
    """Raise TrainingStopped where processes differ in what must be the same."""
    digests = set(collect(sha256(value.encode()).digest()))
    if len(digests) > 1:
        raise TrainingStopped(
            f"The machines do not have the same {what}: they must run the same version of LLMOS and see "
            "the same data.",
            code="TeamDiffers",
        )


def copy_weights(model: Any) -> None:
    """The first process's weights, in all of them."""
    if size() > 1:
        for tensor in model.state_dict().values():
            distributed.broadcast(tensor, 0)


def _device() -> torch.device:
    if distributed.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
