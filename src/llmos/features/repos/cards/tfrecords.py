"""The two formats below TensorBoard's event files: checksums of TFRecords, fields of protobuf messages."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

_MASK = 0xA282EAD8


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Number, wire type and value of each field of a protobuf message. Raises ValueError, IndexError."""
    at, size = 0, len(data)
    while at < size:
        key, at = varint(data, at)
        wire = key & 7
        if wire == 0:
            number, at = varint(data, at)
            yield key >> 3, wire, number
            continue
        if wire == 2:
            length, at = varint(data, at)
        else:
            length = {1: 8, 5: 4}.get(wire, size)
        if at + length > size:
            raise ValueError
        yield key >> 3, wire, data[at : at + length]
        at += length


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
        if shift > 63:
            raise ValueError


def _make_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


# CRC-32C (Castagnoli), reflected polynomial 0x82F63B78; TFRecords rotate it and add a constant.
_TABLE = _make_table()


def masked_crc(data: bytes) -> int:
    crc, table = 0xFFFF_FFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFF_FFFF
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFF_FFFF


@lru_cache(maxsize=1024)
def frame_crc(head: bytes) -> int:
    """Lengths of records repeat."""
    return masked_crc(head)
