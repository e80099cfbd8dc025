"""Bodies of HTML forms: read with a limit, values checked for what no text field may hold."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import Message

from llmos.core.errors import BadRequest, TooLarge
from llmos.core.text import lazy

KIB = 1024
_READ_AWAY_BYTES = 4 * 1024 * KIB


Value = str | bytes


class Form:
    """The fields of one submitted form; text is stripped, files are read whole."""

    def __init__(self, fields: dict[str, list[Value]]) -> None:
        self._fields = fields

    def text(self, name: str, default: str = "", *, strip: bool = True) -> str:
        """The first value of a field, `default` when absent.

        BadRequest for a file, a NUL character or half a surrogate pair.
        """
        values = self._fields.get(name)
        return self._checked(name, values[0], strip) if values else default

    def texts(self, name: str) -> list[str]:
        """Every value of a repeated field, for example of checkboxes."""
        return [self._checked(name, value, True) for value in self._fields.get(name, ())]

    def has(self, name: str) -> bool:
        return name in self._fields

    def file(self, name: str) -> bytes | None:
        """The content of an uploaded file; None when no file was chosen."""
        values = self._fields.get(name)
        return values[0] if values and isinstance(values[0], bytes) else None

    @staticmethod
    def _checked(name: str, value: Value, strip: bool) -> str:
        if isinstance(value, bytes):
            raise BadRequest(lazy("%(name)s must be text, not a file.", name=name))
        if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
            raise BadRequest(lazy("%(name)s holds a character that text may not have.", name=name))
        return value.strip() if strip else value


async def read_form(request: Request, *, limit_bytes: int = 64 * KIB) -> Form:
    """The form in the body of `request`. Raises TooLarge past `limit_bytes`, before reading more."""
    seen = 0

    async def receive() -> Message:
        nonlocal seen
        message = await request.receive()
        seen += len(message.get("body", b""))
        if seen > limit_bytes:
            raise TooLarge(
                lazy("The form is too large: at most %(limit_kib)s KiB.", limit_kib=limit_bytes // KIB)
            )
        return message

    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > limit_bytes):
        if len(declared) <= 18 and int(declared) <= _READ_AWAY_BYTES:
            # A browser that still sends would see a broken connection instead of the reason.
            async for _ in request.stream():
                pass
        raise TooLarge(
            lazy(
                "The form is %(size_kib)s KiB large: at most %(limit_kib)s KiB are accepted.",
                size_kib=int(declared[:18]) // KIB,
                limit_kib=limit_bytes // KIB,
            )
        )
    fields: dict[str, list[Value]] = {}
    limited = Request(request.scope, receive)
    async with limited.form(max_files=4, max_fields=400, max_part_size=limit_bytes) as data:
        for name, value in data.multi_items():
            if isinstance(value, str):
                fields.setdefault(name, []).append(value)
            elif value.filename:
                fields.setdefault(name, []).append(await value.read())
    return Form(fields)
