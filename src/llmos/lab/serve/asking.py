"""What a call for text asks: its prompt, how long the answer may be, what it must match."""

from __future__ import annotations

from llmos.lab.serve.errors import CallError
from llmos.lab.serve.grammar import tools_schema
from llmos.lab.serve.loading import Loaded
from llmos.wire.serving import Generate, Grammar


class Asking:
    """Reads calls for one model; everything raises CallError naming the field."""

    def __init__(self, loaded: Loaded, vocabulary: int) -> None:
        self.loaded, self._vocabulary = loaded, vocabulary

    def prompt(self, call: Generate) -> list[int]:
        if (call.prompt is None) == (call.messages is None):
            raise CallError("Send either `prompt` or `messages`, not both.", param="prompt")
        prompts = self.loaded.prompts
        if call.messages is not None:
            if not call.messages:
                raise CallError("messages is empty: send at least one.", param="messages")
            ids = prompts.chat(
                call.messages,
                tools=call.tools if call.tool_choice != "none" else None,
                is_continued=call.continue_final_message,
                extra=call.chat_template_kwargs,
            )
        elif isinstance(call.prompt, str):
            ids = prompts.encode(call.prompt)
        else:
            ids = self.loaded.checked_ids("prompt", list(call.prompt or []))
        # A text that is empty begins with the token that begins texts.
        return ids or [self.loaded.begin]

    def limit(self, call: Generate, length: int) -> int:
        """How many tokens may be made. Raises CallError where the prompt leaves no room for any."""
        # What is written from a prompt does not stand behind it.
        room = self.loaded.context_tokens - (0 if self.loaded.is_writer else length)
        if length > self.loaded.context_tokens:
            room = -1
        if room < (0 if call.max_tokens == 0 else 1):
            raise CallError(
                f"The prompt has {length} tokens and this model reads {self.loaded.context_tokens} at once, "
                "answer included. Shorten it.",
                code="context_length_exceeded",
                param="messages" if call.messages is not None else "prompt",
                data={"prompt_tokens": length, "context_tokens": self.loaded.context_tokens},
            )
        if call.max_tokens is not None and call.max_tokens > room:
            raise CallError(
                f"The prompt has {length} tokens and max_tokens is {call.max_tokens}: together "
                f"{length + call.max_tokens}, and this model reads {self.loaded.context_tokens} at once. Ask "
                f"for at most {room}, or leave max_tokens out.",
                code="context_length_exceeded",
                param="max_tokens",
                data={
                    "prompt_tokens": length,
                    "max_tokens": call.max_tokens,
                    "context_tokens": self.loaded.context_tokens,
                },
            )
        return room if call.max_tokens is None else call.max_tokens

    def check(self, call: Generate) -> None:
        for token in call.logit_bias:
            if not token.lstrip("-").isdigit() or not 0 <= int(token) < self._vocabulary:
                raise CallError(
                    f"logit_bias: {token!r} is no token of this model (0 to {self._vocabulary - 1}).",
                    param="logit_bias",
                )
        if self.loaded.is_writer and (call.echo or call.messages is not None):
            raise CallError(
                "This model writes one text from another: it neither chats nor goes on with its prompt. Send "
                "`prompt`, without echo.",
                code="no_chat_template" if call.messages is not None else "no_echo",
                param="messages" if call.messages is not None else "echo",
            )


def grammar_of(call: Generate) -> Grammar | None:
    """What the answer must match; a tool that must be called is one too."""
    if not call.tools or call.tool_choice in ("auto", "none", None):
        return call.grammar
    name = None
    if isinstance(call.tool_choice, dict):
        function = call.tool_choice.get("function", call.tool_choice)
        name = str(function.get("name")) if isinstance(function, dict) else None
    return Grammar(kind="json_schema", json_schema=tools_schema(call.tools, name))
