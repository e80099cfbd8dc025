"""Messages and tools of a chat, checked, in the form chat templates read."""

from __future__ import annotations

import re
from typing import Any

from llmos.protocols.openai.errors import refuse
from llmos.protocols.openai.fields import Fields

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
MAX_MESSAGES = 4096
MAX_PARTS = 1024
MAX_TOOLS = 128
_TEXT_PARTS = ("text", "input_text", "output_text", "refusal")
_TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def read_messages(body: Fields, name: str = "messages") -> list[dict[str, Any]]:
    """The messages of a chat; whether their order suits the model is for its template to say."""
    given = body.items(name, MAX_MESSAGES)
    if not given:
        refuse(
            body.place + name,
            "this field is missing; it must be a list of messages.",
            "missing_required_parameter",
        )
    return [read_message(item, f"{body.place}{name}[{number}]") for number, item in enumerate(given)]


def read_message(item: Any, place: str) -> dict[str, Any]:
    """One message of a chat; `place` is what refusals call it."""
    if not isinstance(item, dict):
        refuse(place, "a message must be an object with role and content.", "invalid_type")
    fields = Fields(item, f"{place}.")
    role = fields.choice("role", ROLES)
    if role is None:
        refuse(f"{place}.role", f"this field is missing; it must be one of {', '.join(ROLES)}.")
    message: dict[str, Any] = {"role": {"developer": "system", "function": "tool"}.get(role, role)}
    calls = _tool_calls(fields) if role == "assistant" else []
    content = content_text(fields, "content")
    is_empty_answer = role == "assistant" and (calls or "content" in item)
    if content is None and not is_empty_answer:
        missing = f"{place}.content"
        refuse(missing, "this field is missing; it must be a text.", "missing_required_parameter")
    message["content"] = content or ""
    if calls:
        message["tool_calls"] = calls
    for extra in ("name", "tool_call_id", "reasoning_content"):
        value = fields.text(extra, None, 1 << 20)
        if value is not None:
            message[extra] = value
    return message


def content_text(fields: Fields, name: str) -> str | None:
    """A text, or the texts of a list of parts one after another. Pictures and sound are refused."""
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    parts = fields.items(name, MAX_PARTS)
    found = []
    for number, part in enumerate(parts or ()):
        place = f"{fields.place}{name}[{number}]"
        if not isinstance(part, dict):
            refuse(place, "a part must be an object with type and text.", "invalid_type")
        inner = Fields(part, f"{place}.")
        kind = inner.text("type", "text", 100)
        if kind not in _TEXT_PARTS:
            refuse(f"{place}.type", f"{kind!r} cannot be read: the models served here take text only.")
        text = inner.text("refusal" if kind == "refusal" else "text")
        if text is None:
            refuse(f"{place}.text", "this field is missing; it must be a text.", "missing_required_parameter")
        found.append(text)
    return "".join(found)


def _tool_calls(fields: Fields) -> list[dict[str, Any]]:
    found = []
    for number, item in enumerate(fields.items("tool_calls", MAX_TOOLS) or ()):
        place = f"{fields.place}tool_calls[{number}]"
        if not isinstance(item, dict) or not isinstance(item.get("function"), dict):
            refuse(place, "a tool call must be an object with id, type and function.", "invalid_type")
        call, function = Fields(item, f"{place}."), Fields(item["function"], f"{place}.function.")
        arguments = item["function"].get("arguments")
        if not isinstance(arguments, dict):
            arguments = function.text("arguments", "")
        named = {"name": _tool_name(function), "arguments": arguments}
        found.append({"id": call.text("id", "", 200), "type": "function", "function": named})
    return found


def _tool_name(function: Fields) -> str:
    name = function.needed_text("name")
    if not _TOOL_NAME.fullmatch(name):
        refuse(f"{function.place}name", "use at most 128 letters, digits, '_', '-' and '.'.")
    return name


def read_tools(body: Fields) -> dict[str, Any]:
    """`tools` and `tool_choice` of a call; nothing where no tool is given.

    Takes the nested form of chat completions and the flat one of responses.
    """
    tools = [
        _tool(item, f"tools[{number}]") for number, item in enumerate(body.items("tools", MAX_TOOLS) or ())
    ]
    choice = _tool_choice(body, {tool["function"]["name"] for tool in tools})
    if not tools:
        if choice not in (None, "none", "auto"):
            refuse("tool_choice", "no tools are given to choose from.")
        return {}
    return {"tools": tools, "tool_choice": "auto" if choice is None else choice}


def _tool(item: Any, place: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        refuse(place, "a tool must be an object with type and function.", "invalid_type")
    kind = item.get("type", "function")
    if kind != "function":
        refuse(f"{place}.type", f"{str(kind)[:60]!r} is no tool here: only functions of your own are.")
    inner = item.get("function", item)
    if not isinstance(inner, dict):
        refuse(f"{place}.function", "this must be an object with name and parameters.", "invalid_type")
    function = Fields(inner, f"{place}.function.")
    return {
        "type": "function",
        "function": {
            "name": _tool_name(function),
            "description": function.text("description", "", 100_000),
            "parameters": function.object("parameters") or {"type": "object", "properties": {}},
        },
    }


def _tool_choice(body: Fields, names: set[str]) -> Any:
    value = body.get("tool_choice")
    if value is None or isinstance(value, str):
        return body.choice("tool_choice", ("none", "auto", "required"))
    given = body.object("tool_choice") or {}
    inner = given.get("function", given)
    name = inner.get("name") if isinstance(inner, dict) else None
    if not isinstance(name, str) or name not in names:
        refuse("tool_choice", "this must name one of the tools given.")
    return {"type": "function", "function": {"name": name}}
