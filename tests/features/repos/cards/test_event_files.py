"""Event files of real writers, cut, damaged and hostile ones."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest

from kit.events import event_file, field, record, scalar, varint
from llmos.features.repos.cards.event_files import (
    MAX_POINTS,
    MAX_TAGS,
    EventFileError,
    EventScalars,
    is_event_file,
    read_scalars,
)
from llmos.features.repos.cards.tfrecords import masked_crc


def read(data: bytes, **limits: int) -> EventScalars:
    return read_scalars(lambda offset, length: data[offset : offset + length], len(data), **limits)


def points(found: EventScalars) -> dict[str, list[tuple[int, float]]]:
    return {curve.tag: list(zip(curve.steps, curve.values, strict=True)) for curve in found.curves}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What torch's writer leaves: scalars of both kinds beside other things."""
    from torch.utils.tensorboard import SummaryWriter

    folder = tmp_path_factory.mktemp("runs")
    with SummaryWriter(str(folder)) as writer:
        writer.add_text("note", "x" * 40_000)
        for step in range(5):
            writer.add_scalar("train/loss", 4.5 - step / 2, step * 300)
            writer.add_scalar("训练/损失", -float(step), step)
        writer.add_scalar("eval/loss", 2.25, 1200, new_style=True)
        writer.add_scalar("eval/exact", 0.1, 1200, new_style=True, double_precision=True)
        writer.add_scalar("train/loss", math.nan, 1500)
        writer.add_scalar("train/loss", 1.0, 2**40)
        writer.add_histogram("weights", np.arange(9.0), 1)
    (file,) = Path(folder).iterdir()
    assert is_event_file(f"runs/{file.name}")
    return file.read_bytes()


def test_scalars_of_a_real_writer(written: bytes) -> None:
    found = read(written)
    assert (found.is_cut, found.damaged) == (False, 0)
    curves = points(found)
    assert set(curves) == {"train/loss", "训练/损失", "eval/loss", "eval/exact"}
    loss = curves["train/loss"]
    assert loss[:5] == [(0, 4.5), (300, 4.0), (600, 3.5), (900, 3.0), (1200, 2.5)]
    assert (loss[5][0], math.isnan(loss[5][1]), loss[6]) == (1500, True, (2**40, 1.0))
    assert curves["eval/loss"] == [(1200, 2.25)]
    assert curves["eval/exact"] == [(1200, 0.1)]


def test_a_live_file_ends_anywhere(written: bytes) -> None:
    """Each place a file may be cut at gives the whole records before it, and no mistake."""
    tail = event_file({"a": [(step, 1.0) for step in range(3)]})
    for end in range(len(tail)):
        found = read(tail[:end])
        assert found.damaged == 0
        assert len(points(found).get("a", [])) <= 3
    assert points(read(tail[:-1]))["a"] == [(0, 1.0), (1, 1.0)]
    assert read(b"").curves == ()
    assert len(read(written[:-30]).curves) == 4


def test_what_is_no_event_file_is_refused() -> None:
    for data in (b"x" * 200, bytes(4096), b"\xff" * 12, b"version https://git-lfs.github.com/spec/v1\n" * 3):
        with pytest.raises(EventFileError):
            read(data)
    assert not is_event_file("runs/notes.txt")
    assert not is_event_file("a.tfevents.d/notes.txt")


def test_damage_is_counted_and_passed_over() -> None:
    good = scalar("loss", 1, 2.0)
    wrong_check = bytearray(record(field(5, b"\xff\xff")))
    wrong_check[-1] ^= 1
    deep = record(field(5, field(1, b"\x0b" * 300)))
    endless = record(b"\x10" + b"\xff" * 40)
    lying = record(varint(5 << 3 | 2) + varint(2**60))
    found = read(event_file({}) + bytes(wrong_check) + deep + endless + lying + good)
    assert points(found) == {"loss": [(1, 2.0)]}
    assert found.damaged == 4
    torn = read(good + b"\0" * 64 + good)
    assert points(torn) == {"loss": [(1, 2.0)]}
    assert torn.damaged == 1


def test_steps_said_again_count_once_and_negative_ones_stay() -> None:
    back = scalar("loss", 5, 9.0) + scalar("loss", 7, 8.0) + scalar("loss", 5, 7.0)
    assert points(read(back))["loss"] == [(5, 7.0), (7, 8.0)]
    assert points(read(scalar("loss", 2**64 - 3, 1.0)))["loss"] == [(-3, 1.0)]


def test_memory_and_work_are_bounded() -> None:
    count = 12 * MAX_POINTS
    long = event_file({"loss": ((step, float(step)) for step in range(count))})
    curve = points(read(long))["loss"]
    assert MAX_POINTS <= len(curve) <= 2 * MAX_POINTS + 1
    assert (curve[0], curve[-1]) == ((0, 0.0), (count - 1, count - 1.0))
    half = read(long, max_read_bytes=len(long) // 2)
    assert half.is_cut
    assert 0 < points(half)["loss"][-1][0] < count - 1
    many = event_file({f"tag-{number}": [(0, 1.0)] for number in range(3 * MAX_TAGS)})
    assert len(read(many).curves) == MAX_TAGS
    assert read(event_file({"t" * 5000: [(0, 1.0)]})).curves == ()
    dense = record(b"\x08\x01" * 8000) * 200
    assert read(scalar("loss", 1, 1.0) + dense).is_cut, "two bytes a field: slow to read"
    asked: list[int] = []

    def sparse(offset: int, length: int) -> bytes:
        """A record that says it is a terabyte long, in a file that says so, too."""
        asked.append(length)
        return (scalar("loss", 1, 1.0) + huge)[offset : offset + length]

    huge = (2**40).to_bytes(8, "little")
    huge += masked_crc(huge).to_bytes(4, "little")
    assert points(read_scalars(sparse, 2**41))["loss"] == [(1, 1.0)]
    assert max(asked) <= 256 * 1024


def test_any_bytes_are_survived(written: bytes) -> None:
    draw = random.Random(7)
    for _ in range(300):
        data = bytearray(written)
        for _ in range(draw.randint(1, 6)):
            data[draw.randrange(12, len(data))] = draw.randrange(256)
        read(bytes(data))
