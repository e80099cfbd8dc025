"""What a run asks its model: over HTTP at `/v1`, as everybody, with a token that goes afterwards.

The web process holds the engines' channels, the worker asks it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from llmos.core import clock
from llmos.core.errors import LlmosError, Unavailable
from llmos.core.ids import new_access_token
from llmos.features.auth.models import AccessToken
from llmos.features.auth.tokens import add_token
from llmos.features.quickstart.models import FINETUNE, QuickstartRun
from llmos.features.quickstart.recipes import PROMPTS, QUESTION, languages_of
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.settings import Settings

# A cold start of a small model takes seconds; the first one of a machine may fetch and import for minutes.
TIMEOUT_S = 300.0
_TOKENS = {"prompt": 40, "messages": 80}


def bodies_of(run: QuickstartRun) -> tuple[str, list[dict[str, Any]]]:
    """The address below `/v1` and what is sent to it, without the name of the model."""
    common = {"temperature": 0.7, "top_p": 0.9, "seed": 17}
    if run.path == FINETUNE:
        messages = [{"role": "user", "content": QUESTION}]
        return "chat/completions", [{"messages": messages, "max_tokens": _TOKENS["messages"], **common}]
    prompts = [PROMPTS[one] for one in languages_of(run.options)]
    return "completions", [{"prompt": one, "max_tokens": _TOKENS["prompt"], **common} for one in prompts]


def ask_questions(rt: Runtime, run: QuickstartRun, model: str) -> list[dict[str, Any]]:
    """Ask `model` each question, which starts it where it does not run.

    Raises the refusal of the API with its own code, Unavailable where the web process does not answer
    within TIMEOUT_S.
    """
    path, bodies = bodies_of(run)
    found = []
    with _token(rt, run) as token:
        for body in bodies:
            began = time.monotonic()
            answer = _post(f"{_address(rt.settings)}/v1/{path}", token, {"model": model, **body})
            choice = answer["choices"][0]
            asked = body.get("prompt") or body["messages"][-1]["content"]
            text = choice["text"] if "text" in choice else choice["message"]["content"]
            tokens = int((answer.get("usage") or {}).get("completion_tokens", 0))
            took = round(time.monotonic() - began, 2)
            found.append({"asked": asked, "text": text or "", "tokens": tokens, "seconds": took})
    return found


def _address(settings: Settings) -> str:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "localhost", "") else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


@contextmanager
def _token(rt: Runtime, run: QuickstartRun) -> Iterator[str]:
    """A token of whose run it is, good for a call of a model and nothing else."""
    secret = new_access_token()
    scopes = [{"target": "*", "verbs": ["inference", "repo.read"]}]
    with rt.database.writing() as db:
        token_id = add_token(
            db,
            run.user,
            name=f"quickstart {secret[-8:]}",
            secret=secret,
            role="fineGrained",
            scopes=scopes,
            expires_at=clock.now() + timedelta(minutes=15),
        ).id
    try:
        yield secret
    finally:
        with rt.database.writing() as db:
            token = db.get(AccessToken, token_id)
            if token is not None:
                db.delete(token)


def _post(url: str, token: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = Request(url, data=json.dumps(body).encode(), headers=headers)
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=TIMEOUT_S) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except HTTPError as error:
        raise _refusal(error) from error
    except (URLError, OSError) as error:
        raise Unavailable(
            lazy("The web process does not answer at %(url)s: %(why)s.", url=url, why=str(error))
        ) from error


def _refusal(error: HTTPError) -> LlmosError:
    """What the API said, in the shape of OpenAI's errors."""
    try:
        said = json.load(error)["error"]
        message = said["message"] if isinstance(said, dict) else str(said)
        code = str(said.get("code") or "Refused") if isinstance(said, dict) else "Refused"
    except (ValueError, KeyError, TypeError):
        message, code = f"{error.code} {error.reason}", "Refused"
    return LlmosError(message, status=error.code, code=code)
