"""Scalars of TensorBoard event files, read without TensorBoard.

Format: TFRecords (length as 8 little-endian bytes, masked CRC-32C of them, data, masked CRC-32C of the
data), each an `Event` of TensorFlow's event.proto: step = 2, summary = 5 with values of tag = 1,
simple_value = 2, tensor = 8, metadata = 9. Everything is bounded: whatever else a file holds is passed over.
"""

from __future__ import annotations

import re
import struct
from array import array
from dataclasses import dataclass
from functools import lru_cache

from llmos.core.errors import BadRequest
from llmos.features.repos.cards.tfrecords import fields, frame_crc, masked_crc, varint
from llmos.features.repos.cards.weights import Reader
from llmos.infra.i18n import lazy

MAX_READ_BYTES = 6 * 1024 * 1024
# A scalar takes some fifty bytes; pictures and histograms are passed over unread.
MAX_RECORD_BYTES = 16 * 1024
# In bytes that have to be looked at one by one, about a microsecond each; hostile files stop there.
MAX_WORK = 1_500_000
_RECORD_WORK = 8
MAX_TAGS = 64
MAX_TAG_BYTES = 200
MAX_POINTS = 500
_PIECE_BYTES = 256 * 1024
_FRAME = struct.Struct("<QI")
_FLOAT32 = struct.Struct("<f")
_FLOAT, _DOUBLE = 1, 2


class EventFileError(BadRequest):
    """The file is no event file, whatever its name says."""

    code = "InvalidEventFile"


@dataclass(frozen=True, slots=True)
class ScalarCurve:
    """Points of one tag in order of step, at most twice MAX_POINTS of them, evenly taken."""

    tag: str
    steps: array[int]
    values: array[float]


@dataclass(frozen=True, slots=True)
class EventScalars:
    """`is_cut`: the file goes on after what was read; `damaged`: records that were left out."""

    curves: tuple[ScalarCurve, ...]
    is_cut: bool = False
    damaged: int = 0


def is_event_file(path: str) -> bool:
    """Whether a file's name says that it is one, as writers name them."""
    return ".tfevents." in path.rpartition("/")[2]


def read_scalars(read: Reader, size_bytes: int, *, max_read_bytes: int = MAX_READ_BYTES) -> EventScalars:
    """The scalar curves of an event file.

    A last record that was not written to its end is no mistake: the run may go on. Raises EventFileError
    where the first record is not framed as one.
    """
    found: dict[str, _Points] = {}
    window = _Window(read, size_bytes, max_read_bytes)
    offset = damaged = work = 0
    while work < MAX_WORK:
        frame = window.take(offset, _FRAME.size)
        if len(frame) < _FRAME.size:
            break
        length, check = _FRAME.unpack(frame)
        if frame_crc(frame[:8]) != check:
            if offset == 0:
                raise EventFileError(lazy("This is no TensorBoard event file."))
            damaged += 1
            break
        end = offset + _FRAME.size + length + 4
        if end > size_bytes:
            break
        if length <= MAX_RECORD_BYTES:
            data = window.take(offset + _FRAME.size, length + 4)
            if window.is_spent:
                break
            is_good, cost = _take_record(data, found)
            damaged += not is_good
            work += cost
        work += _RECORD_WORK
        offset = end
    curves = tuple(points.curve(tag) for tag, points in found.items())
    is_cut = window.is_spent or work >= MAX_WORK
    return EventScalars(curves, is_cut=is_cut, damaged=damaged)


class _Window:
    """Reads on in pieces; `is_spent` once more was asked for than may be read."""

    def __init__(self, read: Reader, size_bytes: int, limit_bytes: int) -> None:
        self._read, self._size, self._left = read, size_bytes, limit_bytes
        self._start, self._data = 0, b""
        self.is_spent = False

    def take(self, offset: int, length: int) -> bytes:
        at = offset - self._start
        if at < 0 or at + length > len(self._data):
            there = self._size - offset
            self.is_spent = min(length, there) > self._left
            piece = min(max(length, _PIECE_BYTES), there, self._left)
            self._data = self._read(offset, piece) if piece > 0 and not self.is_spent else b""
            self._start, at = offset, 0
            self._left -= len(self._data)
        return self._data[at : at + length]


class _Points:
    """Every `stride`-th point and the last one; the stride doubles when there are too many."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.values: list[float] = []
        self._stride, self._count = 1, 0
        self._last = (0, 0.0)

    def add(self, step: int, value: float) -> None:
        if self._count % self._stride == 0:
            self.steps.append(step)
            self.values.append(value)
            if len(self.steps) >= 2 * MAX_POINTS:
                self.steps, self.values = self.steps[::2], self.values[::2]
                self._stride *= 2
        self._count += 1
        self._last = (step, value)

    def curve(self, tag: str) -> ScalarCurve:
        # A run that went back to a checkpoint says steps again: what came later counts.
        points = dict(zip(self.steps, self.values, strict=True)) | {self._last[0]: self._last[1]}
        steps = sorted(points)
        return ScalarCurve(tag, array("q", steps), array("d", [points[step] for step in steps]))


# What writers make of one number: wall time, step, and a summary of a single value, each length one byte.
_USUAL = re.compile(
    rb"\x09.{8}(?:\x10([\x80-\xff]{0,8}[\x00-\x7f]))?\x2a(.)\x0a(.)\x0a(.)(.*)\x15(.{4})\Z", re.DOTALL
)


def _take_record(data: bytes, found: dict[str, _Points]) -> tuple[bool, int]:
    """Add the scalars of one event. Whether its bytes were sound, and what work it was.

    The checksum of the usual short record is not looked at: in plain Python it costs more than all the
    rest, its frame has one, and whoever stores files by their SHA has seen to the bytes.
    """
    body = data[:-4]
    usual = _usual(body)
    cost = 0 if usual is not None else len(body)
    try:
        if usual is None and masked_crc(body) != int.from_bytes(data[-4:], "little"):
            return False, cost
        step, values = usual or _event(body)
        for tag, value in values:
            if tag not in found and len(found) >= MAX_TAGS:
                continue
            found.setdefault(tag, _Points()).add(step, value)
    except (ValueError, IndexError, struct.error):
        return False, cost
    return True, cost


def _usual(body: bytes) -> tuple[int, list[tuple[str, float]]] | None:
    match = _USUAL.match(body)
    if match is None:
        return None
    step, summary, value, size, tag, number = match.groups()
    if (size[0], value[0], summary[0]) != (len(tag), len(tag) + 7, len(tag) + 9) or not 0 < len(tag) < 120:
        return None
    return varint(step, 0)[0] if step else 0, [(_text(tag), _FLOAT32.unpack(number)[0])]


def _event(data: bytes) -> tuple[int, list[tuple[str, float]]]:
    step, values = 0, []
    for number, _wire, value in fields(data):
        if number == 2 and isinstance(value, int):
            step = value - (1 << 64) if value >> 63 else value
        elif number == 5 and isinstance(value, bytes):
            scalars = (_scalar(part) for at, _, part in fields(value) if at == 1 and isinstance(part, bytes))
            values += [scalar for scalar in scalars if scalar is not None]
    return step, values


def _scalar(data: bytes) -> tuple[str, float] | None:
    """Tag and value of a summary value; None where it is something else than one number."""
    tag, found = b"", None
    for number, wire, value in fields(data):
        if number == 1 and isinstance(value, bytes):
            tag = value
        elif number == 2 and wire == 5 and isinstance(value, bytes):
            found = _FLOAT32.unpack(value)[0]
        elif number == 8 and isinstance(value, bytes):
            found = _one_number(value)
    if found is None or not tag or len(tag) > MAX_TAG_BYTES:
        return None
    return _text(tag), found


@lru_cache(maxsize=256)
def _text(tag: bytes) -> str:
    return tag.decode("utf-8", "replace").replace("\0", "\ufffd")


def _one_number(data: bytes) -> float | None:
    """The value of a TensorProto that holds a single float or double: dtype = 1, tensor_content = 4,
    float_val = 5, double_val = 6."""
    kind, content = 0, b""
    for number, _, value in fields(data):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number in (4, 5, 6) and isinstance(value, bytes):
            content = value
    if kind == _FLOAT and len(content) == 4:
        return float(_FLOAT32.unpack(content)[0])
    if kind == _DOUBLE and len(content) == 8:
        return float(struct.unpack("<d", content)[0])
    return None
