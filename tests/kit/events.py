"""TensorBoard event files without TensorBoard, for what no writer would write, and where torch is slow."""

from __future__ import annotations

import struct
from collections.abc import Iterable


def _masked_crc(data: bytes) -> int:
    crc = 0xFFFF_FFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFF_FFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFF_FFFF


def record(data: bytes) -> bytes:
    """One framed record."""
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", _masked_crc(head)) + data + struct.pack("<I", _masked_crc(data))


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number: int, data: bytes) -> bytes:
    """A field that holds bytes, or another message."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def scalar(tag: str, step: int, value: float) -> bytes:
    """One point of a curve, framed."""
    inner = field(1, tag.encode()) + b"\x15" + struct.pack("<f", value)
    step_field = b"\x10" + varint(step) if step else b""
    return record(b"\x09" + struct.pack("<d", 1.0) + step_field + field(5, field(1, inner)))


def event_file(curves: dict[str, Iterable[tuple[int, float]]]) -> bytes:
    """A whole file of these curves."""
    start = record(b"\x09" + struct.pack("<d", 1.0) + field(3, b"brain.Event:2"))
    return start + b"".join(scalar(tag, *point) for tag, points in curves.items() for point in points)
