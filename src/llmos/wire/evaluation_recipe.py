"""What to evaluate: one task on one model, complete, as a document that people write and jobs carry.

Version 1. The document has a top-level `evaluation:` and no `objective:`, which every recipe that trains
has. What comes back is told in `llmos.wire.evaluation`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(min_length=1, max_length=400)]
Place = Annotated[str, Field(min_length=1, max_length=4000)]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
ContextPolicy = Literal["refuse", "truncate_left", "stride"]


class Plan(BaseModel):
    """Part of a recipe: written by people, so that "4" is 4; a word that is not known is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


PlanT = TypeVar("PlanT", bound=Plan)


class ModelChoice(Plan):
    """A model in a repository (`repo`, and the commit, branch or tag `revision`) or in a folder (`path`)."""

    repo: Name | None = None
    revision: Name | None = None
    path: Place | None = None
    dtype: Dtype = "auto"
    device: Annotated[str, Field(max_length=40)] = "auto"

    @model_validator(mode="after")
    def _one_place(self) -> ModelChoice:
        return _check_one(self, "repo", "path")


class EndpointChoice(Plan):
    """A server that speaks the OpenAI protocol. The key is read from the variable `api_key_variable`."""

    url: Annotated[str, Field(pattern=r"^https?://", max_length=2000)]
    model: Name
    kind: Literal["completions", "chat"] = "completions"
    api_key_variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    tokenizer: Place | None = None


class BenchmarkChoice(Plan):
    """A data set with an `eval.yaml`, in a repository or a folder; `task_id` may be left out
    if it has one."""

    repo: Name | None = None
    revision: Name | None = None
    path: Place | None = None
    task_id: Name | None = None

    @model_validator(mode="after")
    def _one_place(self) -> BenchmarkChoice:
        return _check_one(self, "repo", "path")


class TaskChoice(Plan):
    """A task without a benchmark: a built-in `kind` over `files`, a task file, or its content.

    `files` are paths or patterns; `dataset` (at `revision`) is the data set repository they lie in, if they
    are not files of this machine. `file` is a task file of ours or of lm-eval (YAML); `definition` is what
    such a file holds.
    """

    kind: Literal["perplexity"] | None = None
    file: Place | None = None
    definition: dict[str, Any] | None = None
    files: Annotated[list[Place], Field(max_length=1000)] = []
    dataset: Name | None = None
    revision: Name | None = None

    @model_validator(mode="after")
    def _one_source(self) -> TaskChoice:
        _check_one(self, "kind", "file", "definition")
        if self.kind and not self.files:
            raise ValueError(f"task {self.kind} needs files: name the text to read in `files`")
        return self


class EvaluationPlan(Plan):
    """One task on one model. What is None follows the task; `batch_size` 0 and `threads` 0 the machine."""

    model: ModelChoice | None = None
    endpoint: EndpointChoice | None = None
    benchmark: BenchmarkChoice | None = None
    task: TaskChoice | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    fewshot: Annotated[int, Field(ge=0, le=1000)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 17
    batch_size: Annotated[int, Field(ge=0, le=100_000)] = 0
    threads: Annotated[int, Field(ge=0, le=4096)] = 0
    max_new_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    context_policy: ContextPolicy | None = None
    chat_template: bool | None = None
    metrics: Annotated[list[Name], Field(max_length=100)] | None = None

    @model_validator(mode="after")
    def _one_of_each(self) -> EvaluationPlan:
        _check_one(self, "model", "endpoint")
        return _check_one(self, "benchmark", "task")


class PushPlan(Plan):
    """Where the bundle goes: the model repository `repo`; None: nowhere but the output folder."""

    repo: Name | None = None
    branch: Name = "main"
    pull_request: bool = False


class EvaluationRecipe(Plan):
    """A whole evaluation as a document: `evaluation:` tells it from a recipe that trains."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "version": 1,
                    "evaluation": {
                        "model": {"repo": "ada/tiny-llm", "revision": "main"},
                        "benchmark": {"repo": "ada/tang-cloze", "task_id": "cloze"},
                        "fewshot": 5,
                    },
                },
                {
                    "version": 1,
                    "evaluation": {
                        "model": {"path": "output"},
                        "task": {"kind": "perplexity", "files": ["held-out.txt"]},
                    },
                },
            ]
        }
    )

    version: Literal[1] = 1
    evaluation: EvaluationPlan
    push: PushPlan = PushPlan()


def is_evaluation(recipe: dict[str, Any]) -> bool:
    """Which kind a recipe is of: a training has an `objective`, and its `evaluation` says how it looks at
    its held-out part."""
    return "evaluation" in recipe and "objective" not in recipe


class Places(Plan):
    """Where things lay on the machine that evaluated: hints to find them again, never evidence."""

    model: Place | None = None
    data: Place | None = None


def _check_one(plan: PlanT, *fields: str) -> PlanT:
    given = [name for name in fields if getattr(plan, name) is not None]
    if len(given) != 1:
        names = " or ".join(fields)
        raise ValueError(f"give exactly one of {names}" + (f", not {' and '.join(given)}" if given else ""))
    return plan
