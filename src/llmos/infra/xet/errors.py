"""What goes wrong with Xet bytes and ranges."""

from llmos.core.errors import BadRequest, LlmosError


class XetFormatError(BadRequest):
    """Bytes that break the Xet format, exceed its limits or do not match their hash (400)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="InvalidXet")


class RangeNotSatisfiable(LlmosError):
    """A byte range that starts at or after the end of the file (416).

    Clients read a file of unknown size in windows and take this answer as the end of the file.
    """

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        super().__init__(
            code="RangeNotSatisfiable",
            status=416,
            message=f"Range starts past the end: the file has {size_bytes} bytes.",
            data={"size_bytes": size_bytes},
        )
