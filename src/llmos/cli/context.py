"""What commands share: the runtime, the operator as actor, `--json`, errors as one clear line."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from llmos.infra.runtime import Runtime

P = ParamSpec("P")
R = TypeVar("R")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


@contextmanager
def open_cli_runtime() -> Iterator[Runtime]:
    """The runtime of `LLMOS_HOME`, its tables up to date; closed at the end."""
    from llmos.app.schema import ensure_schema
    from llmos.infra.runtime import open_runtime
    from llmos.infra.settings import get_settings

    rt = open_runtime(get_settings())
    try:
        ensure_schema(rt)
        yield rt
    finally:
        rt.close()


def refusals_as_messages(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: a refusal becomes one line on stderr and exit code 1."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        from pydantic import ValidationError
        from sqlalchemy.exc import OperationalError

        from llmos.core.errors import LlmosError

        as_json = bool(kwargs.get("as_json"))
        try:
            return function(*args, **kwargs)
        except LlmosError as error:
            fail(error.message, code=error.code, as_json=as_json)
        except ValidationError as error:
            problems = [
                f"LLMOS_{'_'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
                for item in error.errors()
            ]
            fail("The settings are not valid: " + "; ".join(problems), code="BadSettings", as_json=as_json)
        except OperationalError as error:
            text = f"The database cannot be used: {error.orig}. Check LLMOS_HOME and LLMOS_DATABASE_URL."
            fail(text, code="Unavailable", as_json=as_json)
        except PermissionError as error:
            text = f"No permission for {error.filename}: run this as the user the server runs as."
            fail(text, code="Forbidden", as_json=as_json)

    return run


def fail(message: str, *, code: str = "Error", as_json: bool = False) -> NoReturn:
    """Say what went wrong and end with exit code 1; with `--json` as `{"error", "code"}` on stdout."""
    if as_json:
        click.echo(json.dumps({"error": message, "code": code}, ensure_ascii=False))
    else:
        click.echo(f"Error: {message}", err=True)
    raise SystemExit(1)


def print_json(value: Any) -> None:
    """One JSON document; times end in Z."""
    click.echo(json.dumps(value, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    from llmos.core.clock import to_json

    return to_json(value) if isinstance(value, datetime) else str(value)


def print_table(rows: list[list[Any]], header: list[str]) -> None:
    """Aligned columns; nothing but the header when there are no rows."""
    table = [[str(cell) for cell in row] for row in ([header_cell.upper() for header_cell in header], *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def read_secret(what: str) -> str:
    """One secret from standard input, without its line ending. Refuses an empty one."""
    from llmos.core.errors import BadRequest

    if sys.stdin.isatty():
        value: str = click.prompt(what.capitalize(), hide_input=True)
    else:
        value = sys.stdin.readline().rstrip("\r\n")
    if not value:
        raise BadRequest(f"No {what} arrived on standard input: pipe it in, for example by printf.")
    return value


def when(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M") if at else "-"
