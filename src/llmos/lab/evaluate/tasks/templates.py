"""Templates of tasks: Jinja in a sandbox, where what is missing is an error."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llmos.lab.evaluate.tasks.schema import TaskError

_WHOLE = re.compile(r"\s*\{\{((?:(?!\{\{|\}\}).)*)\}\}\s*", re.DOTALL)


def _regex_replace(text: str, pattern: str, repl: str, count: int = 0) -> str:
    return re.sub(pattern, repl, text, count=count)


_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
)
_ENVIRONMENT.filters["regex_replace"] = _regex_replace


@lru_cache(maxsize=256)
def _template(source: str) -> Any:
    return _ENVIRONMENT.from_string(source)


@lru_cache(maxsize=256)
def _expression(source: str) -> Any:
    return _ENVIRONMENT.compile_expression(source, undefined_to_none=False)


def render(source: str, row: dict[str, Any], field: str, sample: str) -> str:
    """The text of a template for a row. Raises TaskError naming field, sample and columns."""
    try:
        found: str = _template(source).render(**row)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise _refusal(error, row, field, sample) from error
    return found


def evaluate(source: str, row: dict[str, Any], field: str, sample: str) -> Any:
    """The object of a template that is one expression ("{{choices}}" is a list), else its text."""
    whole = _WHOLE.fullmatch(source)
    if whole is None:
        return render(source, row, field, sample)
    try:
        found = _expression(whole[1])(**row)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise _refusal(error, row, field, sample) from error
    if isinstance(found, StrictUndefined):
        raise _refusal(UndefinedError(f"{whole[1].strip()} is undefined"), row, field, sample)
    return found


def literal(text: str) -> Any:
    """The Python literal that a text is, or the text."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return text


def _refusal(error: Exception, row: dict[str, Any], field: str, sample: str) -> TaskError:
    return TaskError(
        f"{field}: the template does not fit sample {sample}: {error}. The row has: {', '.join(row)}. "
        "Mend the template, or the row.",
        data={"field": field, "sample": sample, "columns": list(row)},
    )
