"""What an engine is asked and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from llmos.core.errors import LlmosError, Unprocessable

# Two ways of adding the same numbers in single precision differ by less; what lies nearer is settled
# in double precision.
NEAR = 5e-4


class EngineError(Unprocessable):
    """The model cannot answer this task; the message names what it lacks."""

    code = "BadModel"


class EmptyContinuation(EngineError):
    """A choice or target of no tokens has no likelihood."""

    code = "EmptyContinuation"


class TooLong(EngineError):
    """A text does not fit into the model's context and may not be cut."""

    code = "TooLongForContext"


class NotANumber(EngineError):
    """The model's logits are NaN or infinite."""

    code = "NotANumber"


class EndpointFailed(LlmosError):
    """The address does not answer, or not as an OpenAI-compatible one does."""

    status = 502
    code = "EndpointFailed"


@dataclass(frozen=True)
class Request:
    """The likelihoods of `continuations` after `context` (text, or ids as they are) are wanted."""

    context: str | Sequence[int]
    continuations: Sequence[str]
    id: str = ""


@dataclass(frozen=True)
class Score:
    """`logprob` is natural and summed over `tokens`. `near`: greedy decoding is too close to call.

    `truncated`: the context was cut at its beginning to fit. `seconds` is given by engines that ask for
    each answer alone, here and below.
    """

    logprob: float
    is_greedy: bool
    tokens: int
    near: bool = False
    truncated: bool = False
    seconds: float | None = None


@dataclass(frozen=True)
class Rolling:
    """The likelihood of a whole text, each token scored once."""

    logprob: float
    tokens: int
    bytes: int
    characters: int
    windows: int = 1
    unknown_tokens: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class GenerateRequest:
    """`temperature` 0 takes the likeliest token. The answer ends before the first of `stop`.

    `messages` is the same prompt as a chat, for addresses that take one.
    """

    prompt: str | Sequence[int]
    stop: Sequence[str] = ()
    max_new_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0
    top_p: float = 1.0
    top_k: int = 0
    id: str = ""
    messages: Sequence[dict[str, str]] | None = None


@dataclass(frozen=True)
class Generated:
    text: str
    tokens: int = 0
    truncated: bool = False
    seconds: float | None = None


@dataclass
class Facts:
    """What a record says of an engine: its name, its numbers, what it answers with."""

    engine: str
    dtype: str = ""
    device: str = ""
    parameters: int = 0
    max_length: int = 0
    chat_template: str | None = None
    notes: list[str] = field(default_factory=list)


class Engine(Protocol):
    """Answers in the order of the requests. `tokens` counts what was computed."""

    tokens: int

    def facts(self) -> Facts: ...

    def loglikelihoods(self, requests: Sequence[Request]) -> list[list[Score]]: ...

    def settle(self, requests: Sequence[Request]) -> list[list[Score]] | None:
        """The same without rounding that depends on the machine; None where the engine cannot."""
        ...

    def rolling(self, texts: Sequence[str], *, overlap: bool = True) -> list[Rolling]: ...

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generated]: ...

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """The messages as text, up to where the answer begins or goes on."""
        ...

    def close(self) -> None: ...
