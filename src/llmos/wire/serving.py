"""What the hub and an engine say to each other while a model is served. Shapes only.

An engine is a process on a runner: `python -m llmos.lab serve`. Both sides write lines of JSON (NDJSON,
UTF-8), one message a line, over a pair of sockets to the runner and over a WebSocket from there to the
hub, which the runner opens. A WebSocket message holds one line or several.

Hub to engine: `{"id": n, "call": KIND, ...}` with a number that is not in use, and
`{"id": n, "call": "cancel"}`, which is not answered and never too late. Kinds are the calls below.

Engine to hub, about itself (no `id`):

| event | fields |
|---|---|
| `stage` | `stage`: "import", "load", "warm"; `share` of 0 to 1 |
| `ready` | `facts`: `EngineFacts`; calls are taken from here on |
| `load` | `running`, `waiting`, `free_tokens` of the cache; at most once a second, when it changed |
| `failed` | `code`, `message`: the process ends, nothing was or will be served |

Engine to hub, about a call (all with its `id`):

| event | fields |
|---|---|
| `start` | `prompt_tokens`; the call has left the engine's queue |
| `prompt` | `tokens`: list of `Token`, those of the prompt (`echo`) |
| `delta` | `index` of the choice, `text`, `count` of tokens; `tokens` (list of `Token`) if asked |
| `finish` | `index`, `reason`: "stop", "length", "tool_calls"; with the last `tool_calls` (OpenAI's shape) |
| `done` | `prompt_tokens`, `completion_tokens`, `cached_tokens`; the last of a generation |
| `result` | `result`: what `embed`, `task`, `tokenize` and `explain` answer; the last |
| `error` | `status` (an HTTP status), `code`, `message`, `param` (the field, or null), `data`; the last |

A `Token` is `{"id", "text", "bytes": [..], "logprob": float or null, "top": [{"id", "text", "bytes",
"logprob"}, ..], "entropy": float}`: natural logarithms; `bytes` are the token's own, which need not be
whole characters; null is the first token of a text. `entropy` is in nats, over the whole vocabulary.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue

from llmos.wire.jobs import Message

MAX_LINE_BYTES = 8 << 20
MAX_CHOICES = 16
MAX_TOP_LOGPROBS = 20
MAX_STOPS = 16
MAX_INPUTS = 256

EngineKind = Literal["transformers", "llama.cpp", "vllm", "upstream"]
# What a model is asked for: "generate" takes generate and explain, "embed" embed, others their task.
TASKS = (
    "text-generation",
    "feature-extraction",
    "fill-mask",
    "text-classification",
    "token-classification",
    "question-answering",
    "summarization",
    "translation",
    "text2text-generation",
    "zero-shot-classification",
    "sentence-similarity",
)
Task = Literal[
    "text-generation",
    "feature-extraction",
    "fill-mask",
    "text-classification",
    "token-classification",
    "question-answering",
    "summarization",
    "translation",
    "text2text-generation",
    "zero-shot-classification",
    "sentence-similarity",
]


class EngineSpec(Message):
    """How to serve one model. 0 means: the engine chooses by the model and the memory it may have."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"engine": "transformers", "task": "text-generation"}]}
    )

    engine: EngineKind = "transformers"
    task: Task = "text-generation"
    # The file to serve where a repository holds several (GGUF).
    file: Annotated[str, Field(max_length=1000)] = ""
    # Where the repository holds an adapter (LoRA): the model it changes, as "ns/name@commit".
    base: Annotated[str, Field(max_length=300)] = ""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_context_tokens: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    max_batch_tokens: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    page_size: Annotated[int, Field(ge=0, le=4096)] = 0
    num_blocks: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    max_streams: Annotated[int, Field(ge=0, le=4096)] = 0


class EngineFacts(Message):
    """What an engine that is ready says of itself. `memory_bytes` is what the process holds."""

    engine: str
    task: str
    tasks: tuple[str, ...] = ()
    parameters: int = 0
    dtype: str = ""
    device: str = ""
    context_tokens: int = 0
    cache_tokens: int = 0
    max_streams: int = 1
    vocabulary_size: int = 0
    embedding_size: int = 0
    has_chat_template: bool = False
    takes_tools: bool = False
    labels: tuple[str, ...] = ()
    mask_token: str = ""
    memory_bytes: int = 0
    start_s: float = 0


class Grammar(Message):
    """What the answer must match: a JSON schema, any JSON object, or a regular expression."""

    kind: Literal["json_schema", "json_object", "regex"]
    # Named so because `schema` is a method of every pydantic model.
    json_schema: dict[str, JsonValue] | None = None
    regex: Annotated[str, Field(max_length=4000)] | None = None


class Generate(Message):
    """Go on with `prompt` (text, or ids as they are), or answer `messages` by the model's chat template.

    Exactly one of the two. `max_tokens` None: up to the context's end. `temperature` 0 takes the likeliest
    token. `logprobs`: how many alternatives to give with each token, 0 for none but the token itself.
    `echo` gives the prompt's tokens first; with `max_tokens` 0 nothing else is done. `seed` makes
    sampling repeatable on one machine, whatever else runs beside it.
    """

    call: Literal["generate"] = "generate"
    prompt: str | list[int] | None = None
    messages: list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: JsonValue = "auto"
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    continue_final_message: bool = False
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] = 1
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    min_tokens: Annotated[int, Field(ge=0)] = 0
    temperature: Annotated[float, Field(ge=0, le=100)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    repetition_penalty: Annotated[float, Field(gt=0, le=100)] = 1.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    logit_bias: dict[str, float] = Field(default_factory=dict)
    seed: int | None = None
    stop: list[str] = Field(default_factory=list, max_length=MAX_STOPS)
    ignore_eos: bool = False
    logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    echo: bool = False
    grammar: Grammar | None = None


class Embed(Message):
    """One vector an input, of length 1 unless `normalize` is false, cut to `dimensions` where asked.

    Answers `{"embeddings": [[..], ..], "prompt_tokens": n}`. Inputs longer than the context are refused,
    or cut at the end with `truncate`.
    """

    call: Literal["embed"] = "embed"
    inputs: Annotated[list[str | list[int]], Field(min_length=1, max_length=MAX_INPUTS)]
    normalize: bool = True
    dimensions: Annotated[int, Field(ge=1)] | None = None
    truncate: bool = False


class RunTask(Message):
    """A task of the Hub's inference API; `result` is what that API answers for it, `data` its inputs."""

    call: Literal["task"] = "task"
    task: Task
    inputs: JsonValue
    parameters: dict[str, JsonValue] = Field(default_factory=dict)


class Tokenize(Message):
    """Answers `{"tokens": [{"id", "text", "bytes"}, ..]}`, of `messages` by the chat template."""

    call: Literal["tokenize"] = "tokenize"
    text: str | None = None
    messages: list[dict[str, Any]] | None = None


class Explain(Message):
    """Why this token? `ids` are prompt and answer, `position` (>= 1) the token of them to explain.

    Answers `{"tokens": [..], "logprob", "top": [..], "attention": [[..], ..], "gradient": [..]}`:
    `attention` has a row a layer, mean over heads, of what the position before it looked at; `gradient` is
    input times gradient of the token's log-probability, a number for each earlier token.
    """

    call: Literal["explain"] = "explain"
    ids: Annotated[list[int], Field(min_length=2, max_length=4096)]
    position: Annotated[int, Field(ge=1)]


Call = Generate | Embed | RunTask | Tokenize | Explain
