"""Reading a `multipart/form-data` body piece by piece: fields into memory, files onto the disk."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from llmos.core.errors import BadRequest, QuotaExceeded, TooLarge
from llmos.infra.i18n import lazy
from llmos.infra.web.bodies import iter_body
from llmos.infra.web.forms import Form, Value

MAX_FILES = 2_000
MAX_FIELD_BYTES = 64 * 1024
_BATCH_BYTES = 1024 * 1024
SAMPLE_BYTES = 512


@dataclass(slots=True)
class StagedFile:
    """A received file under a temporary name, fsynced; `name` is as the browser sent it."""

    name: str
    path: Path
    size_bytes: int = 0
    sha256: str = ""
    sample: bytes = b""


@dataclass
class _Open:
    staged: StagedFile
    fd: int
    digest: Any = field(default_factory=hashlib.sha256)
    pending: list[bytes] = field(default_factory=list)
    pending_bytes: int = 0

    def write(self) -> None:
        data = b"".join(self.pending)
        self.pending, self.pending_bytes = [], 0
        self.digest.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]

    def close(self) -> None:
        self.write()
        os.fsync(self.fd)
        os.close(self.fd)
        self.staged.sha256 = self.digest.hexdigest()


class UploadReader:
    """Use as a context manager: temporary files that nobody moved away are removed at its end.

    `check` is called with the fields seen so far before the first byte of a file is kept, and
    again at the end; it raises to refuse. `room_bytes` is what may be stored, None for any.
    """

    def __init__(
        self, request: Request, tmp_root: Path, check: Callable[[Form], None], room_bytes: int | None
    ) -> None:
        self._request = request
        self._tmp_root = tmp_root
        self._check = check
        self._room_bytes = room_bytes
        self._events: list[tuple[str, bytes]] = []
        self._header = bytearray()
        self._value = bytearray()
        self._disposition = b""
        self._field: str | None = None
        self._field_data = bytearray()
        self._open: _Open | None = None
        self._fields: dict[str, list[Value]] = {}
        self.files: list[StagedFile] = []

    def __enter__(self) -> UploadReader:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._open is not None:
            os.close(self._open.fd)
        for staged in self.files:
            staged.path.unlink(missing_ok=True)

    async def read(self) -> Form:
        """Read the whole body; the fields. BadRequest for a malformed body, QuotaExceeded, TooLarge."""
        kind, options = parse_options_header(self._request.headers.get("content-type", ""))
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise BadRequest(lazy("Send the form as multipart/form-data."))
        parser = MultipartParser(options[b"boundary"], self._callbacks())
        try:
            async for piece in iter_body(self._request.receive):
                parser.write(piece)
                await self._drain()
            parser.finalize()
        except FormParserError as error:
            raise BadRequest(lazy("The form is malformed or was cut off: send it again.")) from error
        await self._drain()
        if self._open is not None or self._field is not None:
            raise BadRequest(lazy("The form was cut off: send it again."))
        form = Form(self._fields)
        self._check(form)
        return form

    def _callbacks(self) -> Any:
        def note(kind: str) -> Callable[..., None]:
            def callback(data: bytes = b"", start: int = 0, end: int = 0) -> None:
                self._events.append((kind, data[start:end]))

            return callback

        names = (
            "part_begin",
            "part_data",
            "part_end",
            "header_field",
            "header_value",
            "header_end",
            "headers_finished",
        )
        return {f"on_{name}": note(name) for name in names}

    async def _drain(self) -> None:
        events, self._events = self._events, []
        for kind, data in events:
            if kind == "part_data":
                await self._take(data)
            elif kind == "part_end":
                await self._end_part()
            else:
                self._take_header(kind, data)

    def _take_header(self, kind: str, data: bytes) -> None:
        if kind == "part_begin":
            self._disposition = b""
        elif kind == "header_field":
            self._header += data
        elif kind == "header_value":
            self._value += data
        elif kind == "header_end":
            if bytes(self._header).lower() == b"content-disposition":
                self._disposition = bytes(self._value)
            self._header, self._value = bytearray(), bytearray()
        elif kind == "headers_finished":
            self._begin_part()

    def _begin_part(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options:
            self._field = options.get(b"name", b"").decode("utf-8", "replace")
            self._field_data = bytearray()
            return
        name = options[b"filename"].decode("utf-8", "replace")
        if not self.files:
            self._check(Form(self._fields))
        if len(self.files) >= MAX_FILES:
            raise TooLarge(
                lazy("At most %(limit)s files at once: use the command line for more.", limit=MAX_FILES)
            )
        path = self._tmp_root / f"web-{os.getpid()}-{secrets.token_hex(8)}"
        staged = StagedFile(name, path)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        self.files.append(staged)
        self._open = _Open(staged, fd)

    async def _take(self, data: bytes) -> None:
        if self._open is None:
            self._field_data += data
            if len(self._field_data) > MAX_FIELD_BYTES:
                raise TooLarge(
                    lazy(
                        "The field %(field)s is too long: at most %(limit)s bytes.",
                        field=self._field,
                        limit=MAX_FIELD_BYTES,
                    )
                )
            return
        staged = self._open.staged
        staged.size_bytes += len(data)
        if len(staged.sample) < SAMPLE_BYTES:
            staged.sample += data[: SAMPLE_BYTES - len(staged.sample)]
        if self._room_bytes is not None and sum(item.size_bytes for item in self.files) > self._room_bytes:
            raise QuotaExceeded(lazy("The storage quota is used up: delete files or ask for a larger quota."))
        self._open.pending.append(data)
        self._open.pending_bytes += len(data)
        if self._open.pending_bytes >= _BATCH_BYTES:
            await asyncio.to_thread(self._open.write)

    async def _end_part(self) -> None:
        if self._open is None:
            if self._field is not None:
                text = self._field_data.decode("utf-8", "replace")
                self._fields.setdefault(self._field, []).append(text)
            self._field = None
            return
        opened, self._open = self._open, None
        await asyncio.to_thread(opened.close)
        if not opened.staged.name:
            # A file input left empty arrives as a file without a name.
            opened.staged.path.unlink(missing_ok=True)
            self.files.remove(opened.staged)
