"""The header of a GGUF file, read in a moment: libraries take seconds to look at each of its words."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import BinaryIO

from llmos.lab.serve.errors import CannotServe

# Bytes of a value by its type; 8 is a text, 9 a list.
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _LIST = 8, 9
_MOST = 1 << 24


def gguf_numbers(path: Path) -> int:
    """Numbers in all tensors (format GGUF, versions 2 and 3). Raises CannotServe for another file."""
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF" or _number(file, "<I") not in (2, 3):
                raise ValueError("another format")
            tensors, values = _number(file, "<Q"), _number(file, "<Q")
            for _ in range(_bounded(values)):
                _skip_text(file)
                _skip_value(file, _number(file, "<I"))
            return sum(_tensor(file) for _ in range(_bounded(tensors)))
    except (struct.error, ValueError, KeyError, OSError) as error:
        raise CannotServe(f"{path.name} is no GGUF file that can be read.", code="bad_weights") from error


def _number(file: BinaryIO, form: str) -> int:
    return int(struct.unpack(form, file.read(struct.calcsize(form)))[0])


def _bounded(count: int) -> int:
    if count > _MOST:
        raise ValueError("too many parts")
    return count


def _skip_text(file: BinaryIO) -> None:
    file.seek(_bounded(_number(file, "<Q")), 1)


def _skip_value(file: BinaryIO, kind: int) -> None:
    if kind == _TEXT:
        _skip_text(file)
    elif kind == _LIST:
        inner, count = _number(file, "<I"), _bounded(_number(file, "<Q"))
        if inner in _SIZES:
            file.seek(_SIZES[inner] * count, 1)
            return
        for _ in range(count):
            _skip_value(file, inner)
    else:
        file.seek(_SIZES[kind], 1)


def _tensor(file: BinaryIO) -> int:
    _skip_text(file)
    count = prod(_number(file, "<Q") for _ in range(_bounded(_number(file, "<I"))))
    file.seek(12, 1)
    return count
