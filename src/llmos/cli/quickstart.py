"""`llmos quickstart`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from llmos.cli.context import json_option, open_cli_runtime, print_json, refusals_as_messages

_POLL_S = 1.0
_MARKS = {"done": "✓", "failed": "✗", "skipped": "–", "running": "…", "waiting": " "}
_FIGURES = (
    ("parameters", "parameters", ",d"),
    ("tokens", "tokens", ",d"),
    ("steps", "steps", ",d"),
    ("held_out_loss", "loss on text held out", ".3f"),
)
# A name nobody gives a token of theirs; it goes when the command ends, or by itself.
_TOKEN_NAME, _TOKEN_HOURS = "llmos quickstart", 3


@click.command("quickstart")
@click.option("--max-minutes", type=float, default=2.0, show_default=True, help="Minutes of training.")
@click.option(
    "--name", default="", metavar="NS/NAME", help="Of the model. [default: the next free first-llm]"
)
@click.option(
    "--lang", type=click.Choice(["both", "en", "zh"]), default="both", show_default=True, help="Of the text."
)
@click.option(
    "--finetune", is_flag=True, help="Teach SmolLM2 instead (an admin brings it: llmos demo smollm2)."
)
@click.option("--private", is_flag=True, help="Show the model to nobody else.")
@click.option(
    "--as", "person", metavar="NAME", help="Whose model it is. [default: the owner of --name, an admin]"
)
@click.option("--url", help="A running instance elsewhere; its token comes from HF_TOKEN.")
@json_option
@refusals_as_messages
def command(
    *,
    max_minutes: float,
    name: str,
    lang: str,
    finetune: bool,
    private: bool,
    person: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Go from a text to a model that is trained, scored, served and discussed, on a running instance.

    Each step prints what one would type to do it alone. It ends with the address of the model, its score,
    its leaderboard, its endpoint and a line for curl.
    """
    asked = {
        "path": "finetune" if finetune else "train",
        "name": name,
        "lang": lang,
        "max_minutes": max_minutes,
        "private": private,
    }
    with _connection(url, person or name.partition("/")[0] * ("/" in name)) as (base, token):
        if not url:
            _check_ready(as_json=as_json)
        run = _call(base, token, "/api/quickstart", asked)
        if not as_json:
            click.echo(f"{run['model']['name']}: follow it in the browser at {run['url']}\n")
        run = _follow(base, token, run, as_json=as_json)
    if as_json:
        print_json(run)
    elif run["state"] == "done":
        _report(run)
    else:
        click.echo(
            f"\nIt ended: {run['error']}\nTry the step again with the button at {run['url']}", err=True
        )
    raise SystemExit(0 if run["state"] == "done" else 1)


@contextmanager
def _connection(url: str | None, person: str) -> Iterator[tuple[str, str]]:
    """The address to call, and a token: one's own for an instance elsewhere, here one for this command."""
    from llmos.core.errors import BadRequest

    if url:
        token = os.environ.get("HF_TOKEN", "")
        if not token:
            raise BadRequest("Set HF_TOKEN to an access token of role write of that instance.")
        yield url.rstrip("/"), token
        return
    from llmos.infra.settings import get_settings

    settings = get_settings()
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host
    base = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    _check_running(base)
    with open_cli_runtime() as rt:
        token_id, token = _lend_token(rt, person)
        try:
            yield base, token
        finally:
            _take_back(rt, token_id)


def _check_running(base: str) -> None:
    from urllib.error import URLError
    from urllib.request import urlopen

    from llmos.core.errors import Unavailable

    try:
        with urlopen(f"{base}/-/health", timeout=5):
            return
    except (URLError, OSError) as error:
        raise Unavailable(
            f"The hub does not answer at {base}. Start it with `llmos up` (or `make up`), and leave "
            "LLMOS_HOME and LLMOS_PORT as they are there."
        ) from error


def _check_ready(*, as_json: bool) -> None:
    """Say what is missing on this machine: a runner elsewhere may still do the work."""
    from llmos.cli.lab_process import lab_python
    from llmos.core.errors import Unavailable

    try:
        lab_python()
    except Unavailable as error:
        if not as_json:
            click.echo(f"{error.message}\nUntil then the run waits in the queue.", err=True)


def _lend_token(rt: Any, person: str) -> tuple[int, str]:
    """A token that goes when the command ends. Raises NotFound without anybody to act for."""
    from datetime import timedelta

    from sqlalchemy import select

    from llmos.core import clock
    from llmos.core.errors import NotFound
    from llmos.core.ids import new_access_token
    from llmos.core.names import name_key
    from llmos.features.accounts.models import Namespace, User
    from llmos.features.auth.tokens import add_token

    with rt.database.writing() as db:
        wanted = select(User).join(Namespace, Namespace.id == User.id).where(User.disabled_at.is_(None))
        if person:
            found = db.scalars(wanted.where(Namespace.name_key == name_key(person))).unique().first()
        if not person or found is None:
            # An organisation, or nobody named: the first admin acts.
            found = db.scalars(wanted.where(User.is_admin.is_(True)).order_by(User.id)).unique().first()
        if found is None:
            raise NotFound(
                "Nobody is here to own a model yet: open the claim link that `llmos up` prints, or create "
                "an account with `llmos user create NAME --admin`."
            )
        secret = new_access_token()
        expires_at = clock.now() + timedelta(hours=_TOKEN_HOURS)
        name = f"{_TOKEN_NAME} {secret[-6:]}"
        token = add_token(db, found, name=name, secret=secret, role="write", expires_at=expires_at)
        return token.id, secret


def _take_back(rt: Any, token_id: int) -> None:
    from llmos.features.auth.models import AccessToken

    with rt.database.writing() as db:
        token = db.get(AccessToken, token_id)
        if token is not None:
            db.delete(token)


def _call(base: str, token: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """A GET, or with a body a POST. A refusal becomes an LlmosError with the instance's own words."""
    import json
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    from llmos.core.errors import LlmosError, Unavailable

    data = json.dumps(body).encode() if body is not None else None
    language = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG", "")
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        # Titles and notes of the steps are in the reader's language.
        "Accept-Language": "zh" if language.lower().startswith("zh") else "en",
    }
    try:
        with urlopen(Request(base + path, data=data, headers=headers), timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except HTTPError as error:
        try:
            said = str(json.load(error).get("error"))
        except (ValueError, AttributeError):
            said = f"{error.code} {error.reason}"
        raise LlmosError(said, status=error.code, code="Refused") from error
    except (URLError, OSError) as error:
        raise Unavailable(f"The hub at {base} does not answer any more: {error}.") from error


def _follow(base: str, token: str, run: dict[str, Any], *, as_json: bool) -> dict[str, Any]:
    """Until the run is over; each step is told when it begins and when it has ended."""
    told: dict[str, str] = {}
    while True:
        if not as_json:
            for number, step in enumerate(run["steps"], 1):
                _tell(step, f"[{number}/{len(run['steps'])}]", told)
        if run["state"] != "running":
            return run
        time.sleep(_POLL_S)
        run = _call(base, token, f"/api/quickstart/{run['id']}")


def _tell(step: dict[str, Any], place: str, told: dict[str, str]) -> None:
    before, now = told.get(step["key"], "waiting"), step["state"]
    told[step["key"]] = now
    if now in ("waiting", before):
        return
    if before == "waiting":
        click.echo(f"{place} {step['title']}")
        for line in step["ran"][0].splitlines() if step["ran"] else ():
            click.echo(f"      {line}")
    if now != "running":
        took = f" ({step['seconds']:.0f} s)" if step["seconds"] is not None else ""
        click.echo(f"      {_MARKS[now]}{took} {step['note'] or ''}".rstrip())
        for note in step["notes"]:
            click.echo(f"        {note}")


def _report(run: dict[str, Any]) -> None:
    took_s = sum(step["seconds"] or 0.0 for step in run["steps"])
    click.echo(f"\nDone in {took_s:.0f} s.\n\nModel        {run['model']['url']}")
    training = run["training"]
    figures = [f"{words} {training[name]:{form}}" for name, words, form in _FIGURES if training.get(name)]
    click.echo(f"Training     recipe {training['recipe']}: {', '.join(figures)}")
    for one in run["scores"]:
        interval = f" [{one['low']:.3f}, {one['high']:.3f}]" if one["low"] is not None else ""
        place = f", place {one['rank']} of {one['of']}" if one["rank"] else ""
        was = f", {one['before']:.3f} before" if one["before"] is not None else ""
        said = f"{one['metric']} {one['value']:.3f}{interval}{was}{place}"
        click.echo(f"Score        {one['benchmark']}: {said}")
        click.echo(f"Leaderboard  {one['leaderboard']}")
    for one in run["before"] or ():
        click.echo(f"Before       {one['asked']} → {one['text']}")
    for one in run["answers"] or ():
        arrow = " → " if run["path"] == "finetune" else ""
        click.echo(f"It writes    {one['asked']}{arrow}{one['text']}")
    click.echo(f"Endpoint     {run['endpoint']['url']} (model {run['endpoint']['model']})")
    click.echo(f"Discussion   {run['discussion']}")
    click.echo(f"Ask it       {run['endpoint']['curl']}")
