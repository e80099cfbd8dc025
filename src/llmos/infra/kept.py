"""What follows from the program's own files and is kept, as Python keeps its bytecode.

Catalogues, compressed styles and coloured examples are the same at every start; making them anew is a
fifth of a second before the first page. Only for texts of the program, never for anybody's input.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parent / "__pycache__" / "kept"
_DIGEST_BYTES = 32


def kept(name: str, source: bytes, make: Callable[[], bytes], folder: Path | None = None) -> bytes:
    """What `make` made of `source`, from the file `name` if that was made from the same.

    Where the folder cannot be written, and where Python may write no bytecode, it is made each time.
    """
    path = (folder or FOLDER) / name
    digest = hashlib.sha256(source).digest()
    with contextlib.suppress(OSError):
        data = path.read_bytes()
        if data.startswith(digest):
            return data[_DIGEST_BYTES:]
    made = make()
    if not sys.dont_write_bytecode:
        temporary = path.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(digest + made)
            temporary.replace(path)
    return made
