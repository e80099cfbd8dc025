"""What a task is: where its rows are, how a row becomes a question, and what is measured."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llmos.core.errors import Unprocessable

Kind = Literal[
    "perplexity",
    "multiple_choice",
    "loglikelihood",
    "generation",
    "classification",
    "tagging",
    "qa",
    "translation",
    "summarisation",
    "chat",
]
GENERATED = ("generation", "translation", "summarisation", "chat")
CHOSEN = ("multiple_choice", "classification")
Template = str
DEFAULT_METRICS: dict[str, list[str]] = {
    "perplexity": ["bits_per_byte", "perplexity"],
    "multiple_choice": ["accuracy"],
    "loglikelihood": ["accuracy"],
    "generation": ["exact_match"],
    "classification": ["accuracy", "f1"],
    "tagging": ["entity_f1", "tag_accuracy"],
    "qa": ["squad_f1", "squad_em"],
    "translation": ["bleu", "chrf"],
    "summarisation": ["rougeL"],
    "chat": ["exact_match"],
}


class TaskError(Unprocessable):
    """A task file or its data cannot be used; the message names the field and the fix."""

    code = "BadTask"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FewshotRule(_Part):
    """Examples before the question. `fixed`: the same for every question, drawn once; `first`: the first
    rows; `drawn`: anew for each question, as lm-evaluation-harness draws.

    `seed` None follows the run. `rows` are examples written into the task. An index of `indices` names a
    row of the split.
    """

    count: Annotated[int, Field(ge=0, le=1000)] = 0
    split: str | None = None
    seed: int | None = None
    sampler: Literal["fixed", "first", "drawn"] = "fixed"
    rows: list[dict[str, Any]] | None = None
    indices: list[int] | None = None
    prompt: Template | None = None
    choices: Template | list[str] | None = None
    target: Template | int | None = None
    target_delimiter: str | None = None
    delimiter: str | None = None


class Filter(BaseModel):
    """One step from what the model wrote to what is measured; its other fields are its settings."""

    model_config = ConfigDict(extra="allow", frozen=True)

    function: Literal["regex", "lowercase", "uppercase", "remove_whitespace", "take_first", "map"]


class View(_Part):
    """Metrics over the answers as `filters` leave them. `name` is empty where there is one view."""

    name: str = ""
    filters: list[Filter] = []


class MetricChoice(_Part):
    name: str
    settings: dict[str, Any] = {}


class Task(_Part):
    """One task, every default filled in: what a record keeps and what a re-run reads."""

    id: Annotated[str, Field(min_length=1, max_length=400)] = "default"
    kind: Kind
    title: str | None = None
    language: str = "en"
    config: str | None = None
    split: str = "test"
    # Files of each split, for tasks that name their own; else the splits of the data set.
    files: dict[str, list[str]] | None = None
    dataset: str | None = None
    description: Template = ""
    system: Template | None = None
    prompt: Template | int | None = None
    choices: Template | list[str] | None = None
    target: Template | int | list[str] | None = None
    references: Template | None = None
    question: Template | None = None
    passage: Template | None = None
    answer_prefix: Template | None = None
    target_delimiter: str = ""
    fewshot_delimiter: str = "\n\n"
    fewshot: FewshotRule = FewshotRule()
    metrics: list[str | MetricChoice] = []
    views: list[View] = []
    filters: list[Filter] = []
    stop: list[str] = []
    max_new_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 128
    temperature: Annotated[float, Field(ge=0, le=100)] = 0.0
    context: Literal["refuse", "truncate_left", "stride"] | None = None
    chance: float | None = None
    # Windows of long texts: half a context of what came before, or (lm-eval) a single token.
    overlap: bool = True
    syntax: Literal["llmos", "lm-eval", "inspect-ai"] = "llmos"
    scorers: list[Any] | None = None
    flagged: Any = None

    @model_validator(mode="after")
    def _complete(self) -> Task:
        wanted = {"multiple_choice": ("prompt", "choices", "target"), "tagging": ("prompt", "target")}
        wanted |= {"classification": ("prompt", "target"), "qa": ("target",), "perplexity": ()}
        for name in wanted.get(self.kind, ("prompt", "target")):
            if getattr(self, name) is None:
                raise ValueError(f"a task of kind {self.kind} needs `{name}`")
        if self.kind == "qa" and self.prompt is None and (self.question is None or self.passage is None):
            raise ValueError("a task of kind qa needs `question` and `passage`, or `prompt`")
        return self

    def metric_choices(self) -> list[MetricChoice]:
        chosen = self.metrics or DEFAULT_METRICS[self.kind]
        return [MetricChoice(name=m) if isinstance(m, str) else m for m in chosen]

    def all_views(self) -> list[View]:
        return self.views or [View(filters=self.filters)]

    def as_run(self) -> dict[str, Any]:
        """The task with every default, as JSON: what its digest is of."""
        return self.model_dump(mode="json")


def parse_task(fields: dict[str, Any], where: str) -> Task:
    """A task of ours from its fields; raises TaskError naming the first field that is wrong."""
    try:
        return Task.model_validate(fields)
    except ValidationError as error:
        raise refusal(error, where) from error


def refusal(error: ValidationError, where: str) -> TaskError:
    """The first thing wrong, with the path of its field."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = "this field is not known; remove it or mend its name"
    return TaskError(f"{where}: {field + ': ' if field else ''}{reason}.", data={"field": field})
