"""What a call asks, as tokens. What people type never becomes a control token of a chat."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from llmos.lab.serve.errors import CallError

# Characters for private use, one of which marks where a token's name was cut in two.
_MARKS = range(0xE000, 0xE100)


class Prompts:
    """Encodes text and chats for one model."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.template: str = _template(tokenizer)

    @property
    def has_template(self) -> bool:
        return bool(self.template)

    @property
    def takes_tools(self) -> bool:
        return "tools" in self.template

    def encode(self, text: str) -> list[int]:
        """Ids of plain text, with what the tokenizer puts around. Names of tokens are those tokens."""
        ids: list[int] = self.tokenizer(text, return_attention_mask=False, return_token_type_ids=False)[
            "input_ids"
        ]
        return ids

    def chat(
        self,
        messages: Sequence[dict[str, Any]],
        *,
        tools: list[dict[str, Any]] | None = None,
        is_continued: bool = False,
        extra: dict[str, Any] | None = None,
    ) -> list[int]:
        """The messages by the model's chat template, up to where the answer begins.

        Raises CallError: `no_chat_template`, `no_tools`, or `invalid_messages` with the template's own words.
        """
        if not self.has_template:
            raise CallError(
                "This model has no chat template: it goes on with text and was not taught to chat. Send the "
                "text as `prompt` to /v1/completions, or put a chat_template.jinja beside its tokenizer.",
                code="no_chat_template",
                param="messages",
            )
        if tools and not self.takes_tools:
            raise CallError(
                "This model's chat template takes no tools. Leave `tools` out, or ask a model that was "
                "taught to call them.",
                code="no_tools",
                param="tools",
            )
        mark = _mark(json.dumps(messages, ensure_ascii=False))
        safe = [self._message(number, message, mark) for number, message in enumerate(messages)]
        text = self._render(safe, tools, is_continued, extra or {})
        ids: list[int] = []
        for part in text.split(mark):
            if part:
                ids += self.tokenizer(part, add_special_tokens=False)["input_ids"]
        return ids

    def _render(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
        is_continued: bool,
        extra: dict[str, Any],
    ) -> str:
        from jinja2.exceptions import TemplateError

        reserved = {"tokenize", "add_generation_prompt", "continue_final_message", "chat_template", "tools"}
        try:
            text: str = self.tokenizer.apply_chat_template(
                messages,
                tools=tools or None,
                tokenize=False,
                add_generation_prompt=not is_continued,
                continue_final_message=is_continued,
                **{key: value for key, value in extra.items() if key not in reserved},
            )
        except (TemplateError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            raise CallError(
                f"The model's chat template refuses these messages: {error}",
                code="invalid_messages",
                param="messages",
            ) from error
        return text

    def _message(self, number: int, message: dict[str, Any], mark: str) -> dict[str, Any]:
        role = message.get("role")
        if not isinstance(role, str) or not role:
            raise _bad(number, "role", "is missing; give system, user, assistant or tool")
        if self._cut(role, mark, all_names=True) != role:
            raise _bad(number, "role", "is no role")
        safe = dict(message)
        # What the model said itself holds marks of its own that templates look for.
        strict = role != "assistant"
        content = message.get("content")
        if isinstance(content, list):
            content = "".join(_text_part(number, part) for part in content)
        if content is not None and not isinstance(content, str):
            raise _bad(number, "content", "must be text")
        safe["content"] = self._cut(content or "", mark, all_names=strict)
        for key, value in message.items():
            if key not in ("role", "content"):
                safe[key] = self._cut_all(_arguments(value) if key == "tool_calls" else value, mark)
        return safe

    def _cut_all(self, value: Any, mark: str) -> Any:
        if isinstance(value, str):
            return self._cut(value, mark, all_names=True)
        if isinstance(value, list):
            return [self._cut_all(part, mark) for part in value]
        if isinstance(value, dict):
            return {key: self._cut_all(part, mark) for key, part in value.items()}
        return value

    def _cut(self, text: str, mark: str, *, all_names: bool) -> str:
        """Names of control tokens in `text`, each with a mark behind its first character."""
        for name in self._names[0 if all_names else 1]:
            if name in text:
                text = text.replace(name, name[0] + mark + name[1:])
        return text

    @cached_property
    def _names(self) -> tuple[list[str], list[str]]:
        """Names of all tokens that steer, and of those that are special to the tokenizer, longest first."""
        every: set[str] = set()
        special = set(self.tokenizer.all_special_tokens)
        for token in getattr(self.tokenizer, "added_tokens_decoder", {}).values():
            name = str(token.content)
            if token.special:
                special.add(name)
            elif name[:1] in "<[" and name[-1:] in ">]":
                every.add(name)
        special = {name for name in special if len(name) > 1 and not name.isspace()}
        every = {name for name in every | special if len(name) > 1}
        return sorted(every, key=len, reverse=True), sorted(special, key=len, reverse=True)


def _template(tokenizer: Any) -> str:
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("tool_use") or template.get("default") or next(iter(template.values()), "")
    return template or ""


def _mark(text: str) -> str:
    for code in _MARKS:
        if chr(code) not in text:
            return chr(code)
    raise CallError("The messages use every character for private use; leave some out.", param="messages")


def _text_part(number: int, part: Any) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("text", "input_text", "output_text") and isinstance(part.get("text"), str):
        return str(part["text"])
    raise _bad(number, "content", f"has a part of type {kind!r}, and this model reads text only")


def _arguments(calls: Any) -> Any:
    """Templates want the arguments of earlier calls as objects, OpenAI's clients send them as text."""
    if not isinstance(calls, list):
        return calls
    found = []
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        found.append(call)
        if isinstance(function, dict) and isinstance(function.get("arguments"), str):
            with suppress(ValueError):
                parsed = {**function, "arguments": json.loads(function["arguments"])}
                found[-1] = {**call, "function": parsed}
    return found


def _bad(number: int, field: str, what: str) -> CallError:
    return CallError(
        f"messages[{number}].{field} {what}.", code="invalid_messages", param=f"messages[{number}].{field}"
    )
