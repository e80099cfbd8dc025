"""Compiled templates, kept like Python's own bytecode: compiling them is a third of a cold start.

Only marshalled code in a folder beside this module is read, and only if it was made from the same
source by the same versions. All languages share one copy in memory.
"""

from __future__ import annotations

import contextlib
import importlib.util
import marshal
import os
import sys
from pathlib import Path
from types import CodeType

import jinja2
from jinja2.bccache import Bucket, BytecodeCache

FOLDER = Path(__file__).parent / "__pycache__" / "templates"
_VERSION = importlib.util.MAGIC_NUMBER + jinja2.__version__.encode()


class CompiledTemplates(BytecodeCache):
    """Files of `folder`; where it cannot be written every process compiles for itself."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        self._codes: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        code = self._codes.get((bucket.key, bucket.checksum)) or self._read(bucket)
        if code is not None:
            bucket.code = self._codes[bucket.key, bucket.checksum] = code

    def dump_bytecode(self, bucket: Bucket) -> None:
        assert bucket.code is not None
        self._codes[bucket.key, bucket.checksum] = bucket.code
        if sys.dont_write_bytecode:
            return
        target = self.folder / bucket.key
        temporary = target.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(_head(bucket) + marshal.dumps(bucket.code))
            temporary.replace(target)

    def _read(self, bucket: Bucket) -> CodeType | None:
        try:
            data = (self.folder / bucket.key).read_bytes()
            head = _head(bucket)
            return marshal.loads(data[len(head) :]) if data.startswith(head) else None
        except (OSError, EOFError, ValueError, TypeError):
            return None


def _head(bucket: Bucket) -> bytes:
    return _VERSION + b"\n" + bucket.checksum.encode() + b"\n"


compiled_templates = CompiledTemplates()
