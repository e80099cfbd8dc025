"""Bodies of HTML forms: read with a limit, values checked for what no text field may hold."""

from __future__ import annotations

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.types import Message

from llmos.core.errors import BadRequest, TooLarge

KIB = 1024


class Form:
    """The fields of one submitted form; text is stripped, files are read whole."""

    def __init__(self, data: FormData) -> None:
        self._data = data

    def text(self, name: str, default: str = "", *, strip: bool = True) -> str:
        """The value of a field, `default` when absent; BadRequest for a file or a NUL character."""
        value = self._data.get(name)
        if value is None:
            return default
        return self._checked(name, value, strip)

    def texts(self, name: str) -> list[str]:
        """Every value of a repeated field, for example of checkboxes."""
        return [self._checked(name, value, True) for value in self._data.getlist(name)]

    def has(self, name: str) -> bool:
        return name in self._data

    async def file(self, name: str) -> bytes | None:
        """The content of an uploaded file; None when no file was chosen."""
        value = self._data.get(name)
        if not isinstance(value, UploadFile) or not value.filename:
            return None
        return await value.read()

    @staticmethod
    def _checked(name: str, value: object, strip: bool) -> str:
        if not isinstance(value, str):
            raise BadRequest(f"{name} must be text, not a file.")
        if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
            raise BadRequest(f"{name} holds a character that text may not have.")
        return value.strip() if strip else value


async def read_form(request: Request, *, limit_bytes: int = 64 * KIB) -> Form:
    """The form in the body of `request`. Raises TooLarge past `limit_bytes`, before parsing more."""
    seen = 0

    async def receive() -> Message:
        nonlocal seen
        message = await request.receive()
        seen += len(message.get("body", b""))
        if seen > limit_bytes:
            raise TooLarge(f"The form is too large: at most {limit_bytes // KIB} KiB.")
        return message

    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise TooLarge(f"The form is too large: at most {limit_bytes // KIB} KiB.")
    limited = Request(request.scope, receive)
    return Form(await limited.form(max_files=4, max_fields=400, max_part_size=limit_bytes))
