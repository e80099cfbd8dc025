"""Code that asks the same from outside: curl, the openai client, InferenceClient."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from llmos.features.playground.schemas import Params, Talk
from llmos.ui.highlight import HighlightedCode, highlight_file

_STANDARD = ("temperature", "top_p", "max_tokens", "seed", "stop", "presence_penalty", "frequency_penalty")
# What the openai client knows only as additions to the body.
_EXTRA = ("top_k", "repetition_penalty")
TOKEN = "$LLMOS_TOKEN"


@dataclass(frozen=True)
class Code:
    """One way to ask; `language` is the end of a file's name."""

    name: str
    code: str
    language: str = "py"

    @property
    def highlighted(self) -> HighlightedCode:
        return highlight_file(self.code, f"snippet.{self.language}")


def snippets_of(talk: Talk, column: int, address: str) -> list[Code]:
    """The last turn of a conversation as programs; nothing that is as it is by default is named."""
    model = talk.models[column]
    is_chat = talk.mode == "chat"
    standard, extra = _sampling(talk.params)
    said: dict[str, Any]
    said = {"messages": talk.messages(column)} if is_chat else {"prompt": _prompt(talk)}
    return [
        Code("openai", _openai(address, model, is_chat, said, standard, extra)),
        Code("InferenceClient", _inference(address, model, is_chat, said, standard, extra)),
        Code("curl", _curl(address, model, is_chat, said, {**standard, **extra}), "sh"),
    ]


def _prompt(talk: Talk) -> str:
    return talk.turns[-1].text if talk.turns else ""


def _sampling(params: Params) -> tuple[dict[str, Any], dict[str, Any]]:
    values = params.model_dump()
    plain: dict[str, Any] = {"seed": None, "stop": [], "presence_penalty": 0.0, "frequency_penalty": 0.0}
    plain |= {"top_k": 0, "repetition_penalty": 1.0}
    named = {name: value for name, value in values.items() if value != plain.get(name, "?")}
    return (
        {name: named[name] for name in _STANDARD if name in named},
        {name: named[name] for name in _EXTRA if name in named},
    )


def _openai(address: str, model: str, is_chat: bool, said: dict[str, Any], standard: Any, extra: Any) -> str:
    arguments = {"model": model, **said, **standard}
    if extra:
        arguments["extra_body"] = extra
    verb = "chat.completions" if is_chat else "completions"
    piece = "chunk.choices[0].delta.content" if is_chat else "chunk.choices[0].text"
    return (
        "import os\n\nfrom openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{address}/v1", api_key=os.environ["LLMOS_TOKEN"])\n'
        f"answer = client.{verb}.create(\n{_arguments(arguments)}    stream=True,\n)\n"
        "for chunk in answer:\n"
        "    if chunk.choices:\n"
        f'        print({piece} or "", end="", flush=True)\n'
    )


def _inference(
    address: str, model: str, is_chat: bool, said: dict[str, Any], standard: Any, extra: Any
) -> str:
    begin = (
        "import os\n\nfrom huggingface_hub import InferenceClient\n\n"
        f'client = InferenceClient(base_url="{address}/v1", api_key=os.environ["LLMOS_TOKEN"])\n'
    )
    if is_chat:
        arguments = {"model": model, **said, **standard}
        if extra:
            arguments["extra_body"] = extra
        return begin + f"answer = client.chat_completion(\n{_arguments(arguments)})\n" + _PRINT_CHAT
    names = {"max_tokens": "max_new_tokens"}
    kept = ("temperature", "top_p", "max_tokens", "seed", "stop", "top_k", "repetition_penalty")
    values = {names.get(k, k): v for k, v in {**standard, **extra}.items() if k in kept}
    head = begin.replace(f'base_url="{address}/v1"', f'model="{address}/models/{model}"')
    return head + f"print(client.text_generation(\n{_arguments({**said, **values})}))\n"


_PRINT_CHAT = "print(answer.choices[0].message.content)\n"


def _arguments(values: dict[str, Any]) -> str:
    return "".join(f"    {name}={_python(value)},\n" for name, value in values.items())


def _python(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_python(k)}: {_python(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + "".join(f"        {_python(item)},\n" for item in value) + "    ]"
    if isinstance(value, list):
        return "[" + ", ".join(_python(item) for item in value) + "]"
    return repr(value)


def _curl(address: str, model: str, is_chat: bool, said: dict[str, Any], sampling: dict[str, Any]) -> str:
    body = {"model": model, **said, **sampling, "stream": True}
    path = "chat/completions" if is_chat else "completions"
    return (
        f"curl -N {address}/v1/{path} \\\n"
        f'  -H "Authorization: Bearer {TOKEN}" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(json.dumps(body, ensure_ascii=False, indent=2))}\n"
    )
