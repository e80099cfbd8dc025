"""What goes wrong with Xet bytes."""

from llmos.core.errors import BadRequest


class XetFormatError(BadRequest):
    """Bytes that break the Xet format, exceed its limits or do not match their hash (400)."""

    code = "InvalidXet"
