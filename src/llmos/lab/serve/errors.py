"""What a call is refused with. The frame `error` carries all of it."""

from __future__ import annotations

import sys
import traceback
from typing import Any

from llmos.core.errors import LlmosError

# What torch, tokenizers, templates and grammars raise over input they do not expect.
STUMBLES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


class CallError(LlmosError):
    """A call that cannot be answered; the engine goes on. `param` is the field at fault."""

    status = 400
    code = "invalid_request"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        param: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code=code, status=status, data=data)
        self.param = param


class CannotServe(LlmosError):
    """The engine cannot start with this model here; nothing was or will be served."""

    status = 422
    code = "not_servable"


def error_frame(error: LlmosError) -> dict[str, Any]:
    return {
        "event": "error",
        "status": error.status,
        "code": error.code,
        "message": error.message,
        "param": getattr(error, "param", None),
        "data": error.data,
    }


def stumbled(error: Exception) -> LlmosError:
    """What whoever asked is told of an error nobody foresaw; the log has all of it."""
    if isinstance(error, LlmosError):
        return error
    traceback.print_exception(error, file=sys.stderr)
    return CallError(
        f"The model failed: {(str(error) or repr(error)).splitlines()[0]}. Try again; if it happens each "
        "time, the log of the engine says more.",
        status=500,
        code="engine_error",
    )


def not_a_number() -> CallError:
    return CallError(
        "The model's numbers overflowed or its weights are damaged (NaN), so no token can be chosen. Try "
        "another prompt, or serve it with dtype float32.",
        status=500,
        code="not_a_number",
    )
