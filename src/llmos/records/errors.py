"""How evidence is refused."""

from __future__ import annotations

from llmos.core.errors import Unprocessable


class RecordError(Unprocessable):
    """A record, a key or a file of a bundle cannot be read. `data["file"]` names the file, if it is one."""

    code = "BadRecord"

    def __init__(self, message: str, *, file: str = "") -> None:
        super().__init__(message, data={"file": file} if file else None)
