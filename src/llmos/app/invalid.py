"""What was wrong with a request that the declared types refuse, in words a page can translate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmos.core.errors import BadRequest
from llmos.infra.i18n import lazy

# As pydantic says it; its own text is kept wherever it says anything else.
_WORDS = {
    "missing": lazy("Field required"),
    "string_type": lazy("Input should be a valid string"),
    "int_type": lazy("Input should be a valid integer"),
    "int_parsing": lazy("Input should be a valid integer, unable to parse string as an integer"),
    "float_parsing": lazy("Input should be a valid number, unable to parse string as a number"),
    "bool_parsing": lazy("Input should be a valid boolean, unable to interpret input"),
    "json_invalid": lazy("JSON decode error"),
    "list_type": lazy("Input should be a valid list"),
    "dict_type": lazy("Input should be a valid dictionary"),
    "greater_than_equal": lazy("Input should be greater than or equal to %(ge)s", ge=""),
    "less_than_equal": lazy("Input should be less than or equal to %(le)s", le=""),
    "string_too_short": lazy("String should have at least %(min_length)s characters", min_length=""),
    "string_too_long": lazy("String should have at most %(max_length)s characters", max_length=""),
    "literal_error": lazy("Input should be %(expected)s", expected=""),
    "enum": lazy("Input should be %(expected)s", expected=""),
}


def as_bad_request(problems: Sequence[Any]) -> BadRequest:
    """One refusal for the findings of a validation (`RequestValidationError.errors()`)."""
    said = [_say(item) for item in problems]
    if not said:
        return BadRequest(lazy("The request is malformed."))
    message = said[0]
    for other in said[1:]:
        message = lazy("%(first)s; %(second)s", first=message, second=other)
    return BadRequest(message)


def _say(item: dict[str, Any]) -> Any:
    field = ".".join(str(part) for part in item["loc"])
    known = _WORDS.get(item["type"])
    problem = item["msg"]
    if known is not None:
        context = item.get("ctx") or {}
        found = lazy(known.message, **{name: context.get(name, "") for name in known.params})
        problem = found if found == problem else problem
    return lazy("%(field)s: %(problem)s", field=field, problem=problem)
