"""Lines for a shell and for Python that ask a run's model what the run asked it."""

from __future__ import annotations

import json
from typing import Any

from llmos.features.quickstart.asking import bodies_of
from llmos.features.quickstart.models import QuickstartRun
from llmos.features.quickstart.recipes import QUESTION


def _body(run: QuickstartRun) -> tuple[str, dict[str, Any]]:
    """The first question of the run, without what makes it repeatable."""
    path, bodies = bodies_of(run)
    kept = {key: value for key, value in bodies[0].items() if key in ("prompt", "messages", "max_tokens")}
    return path, {"model": run.model_name, **kept}


def _curl(base: str, path: str, body: dict[str, Any]) -> str:
    data = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    return (
        f'curl {base}/v1/{path} -H "Authorization: Bearer $HF_TOKEN" '
        f"-H 'Content-Type: application/json' -d '{data}'"
    )


def curl_line(run: QuickstartRun, base: str) -> str:
    """One line for a shell that asks the model what the run asked it."""
    return _curl(base, *_body(run))


def curl_chat(model: str, base: str) -> str:
    messages = [{"role": "user", "content": QUESTION}]
    return _curl(base, "chat/completions", {"model": model, "messages": messages})


def openai_lines(run: QuickstartRun, base: str) -> str:
    path, body = _body(run)
    call = "chat.completions.create" if path.startswith("chat") else "completions.create"
    words = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in body.items())
    last = "choices[0].message.content" if path.startswith("chat") else "choices[0].text"
    return (
        "import os\nfrom openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{base}/v1", api_key=os.environ["HF_TOKEN"])\n'
        f"print(client.{call}({words}).{last})"
    )
