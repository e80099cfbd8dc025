"""What a conversation of the playground is: its shape on the page, in history and behind a link."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from llmos.core.errors import BadRequest
from llmos.infra.i18n import lazy
from llmos.wire.serving import MAX_STOPS

MAX_MODELS = 2
MAX_TURNS = 200
MAX_TEXT_CHARS = 200_000
# Of all texts of one conversation.
MAX_TALK_CHARS = 400_000
DEFAULT_MAX_TOKENS = 512

Name = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Params(_Shape):
    """How to choose tokens; the names and limits are those of `wire.serving.Generate`."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    top_k: Annotated[int, Field(ge=0, le=100_000)] = 0
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] = DEFAULT_MAX_TOKENS
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    stop: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=MAX_STOPS)
    ] = Field(default_factory=list)
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] = 1.0


class Answer(_Shape):
    """What one model said. `first_s` is the time to its first token, `rate` in tokens a second."""

    text: Text = ""
    tokens: Annotated[int, Field(ge=0)] = 0
    prompt_tokens: Annotated[int, Field(ge=0)] = 0
    first_s: Annotated[float, Field(ge=0)] = 0.0
    rate: Annotated[float, Field(ge=0)] = 0.0
    reason: Annotated[str, Field(max_length=40)] = ""
    revision: Annotated[str, Field(max_length=64)] = ""


class Turn(_Shape):
    """What the person wrote, and what each model answered; in completion mode `text` is the prompt."""

    text: Text
    answers: Annotated[list[Answer | None], Field(max_length=MAX_MODELS)] = Field(default_factory=list)


class Talk(_Shape):
    """A conversation with one model, or with two beside each other."""

    mode: Literal["chat", "completion"] = "chat"
    system: Text = ""
    params: Params = Field(default_factory=Params)
    models: Annotated[list[Name], Field(min_length=1, max_length=MAX_MODELS)]
    turns: Annotated[list[Turn], Field(max_length=MAX_TURNS)] = Field(default_factory=list)

    @field_validator("models")
    @classmethod
    def _has_names(cls, models: list[str]) -> list[str]:
        if any(not name.strip() for name in models):
            raise ValueError("a model has no name")
        return [name.strip() for name in models]

    def messages(self, column: int) -> list[dict[str, Any]]:
        """What the model of `column` reads: all before the last answer."""
        found = [{"role": "system", "content": self.system}] if self.system.strip() else []
        for turn in self.turns[:-1]:
            answer = turn.answers[column] if column < len(turn.answers) else None
            # Where an answer failed there is nothing to remember: roles must take turns.
            if answer is not None and answer.text:
                found.append({"role": "user", "content": turn.text})
                found.append({"role": "assistant", "content": answer.text})
        if self.turns:
            found.append({"role": "user", "content": self.turns[-1].text})
        return found

    def title(self) -> str:
        """The beginning of what was said first."""
        first = self.turns[0].text if self.turns else self.system
        line = " ".join(first.split())
        return line[:80] + ("…" if len(line) > 80 else "")


def read_talk(text: str) -> Talk:
    """A conversation from its JSON. BadRequest names the first field that does not fit."""
    try:
        talk = Talk.model_validate_json(text)
    except ValidationError as error:
        raise _refusal("talk", error) from None
    said = len(talk.system)
    for turn in talk.turns:
        said += len(turn.text) + sum(len(answer.text) for answer in turn.answers if answer)
    if said > MAX_TALK_CHARS:
        raise BadRequest(
            lazy(
                "The conversation has %(count)s characters: at most %(limit)s are taken. Begin a new one.",
                count=said,
                limit=MAX_TALK_CHARS,
            )
        )
    return talk


def read_params(values: dict[str, Any]) -> Params:
    """Parameters from a form or a script; BadRequest names the one that does not fit."""
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise _refusal("params", error) from None


def _refusal(whole: str, error: ValidationError) -> BadRequest:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or whole
    return BadRequest(lazy("%(field)s does not fit: %(why)s.", field=field, why=first["msg"]))
