"""Tasks of inspect-ai in an `eval.yaml`: which fields there are, of which types, with which defaults.

Shapes of inspect-ai 0.3.285 (`hf/` tasks, its `HFTask`): what these refuse it refuses, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

FRAMEWORK = "inspect-ai"
# What a task without an id is called here; inspect-ai needs none where there is one task.
ONLY_TASK = "default"

SolverName = Literal[
    "prompt_template", "system_message", "user_message", "chain_of_thought",
    "use_tools", "generate", "self_critique", "multiple_choice",
]  # fmt: skip
ScorerName = Literal[
    "includes", "match", "pattern", "answer", "exact", "f1",
    "model_graded_qa", "model_graded_fact", "choice", "math",
]  # fmt: skip


class InspectSolver(BaseModel):
    name: SolverName
    args: dict[str, Any] = Field(default_factory=dict)


class InspectScorer(BaseModel):
    name: ScorerName
    args: dict[str, Any] = Field(default_factory=dict)


@dataclass
class InspectFields:
    """Columns of the data set. A plain dataclass, as inspect-ai's is: pydantic reads it as strictly."""

    input: str = "input"
    target: str = "target"
    choices: str | list[str] | None = None
    id: str = "id"
    metadata: list[str] | type[BaseModel] | None = None
    sandbox: str = "sandbox"
    files: str = "files"
    setup: str = "setup"
    checkpoint: str | None = field(default="checkpoint", kw_only=True)
    description: str | None = field(default=None, kw_only=True)
    input_image: str | None = None


class InspectTask(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str | None = None
    config: str = "default"
    split: str = "test"
    field_spec: InspectFields
    shuffle_choices: bool | None = None
    epochs: int = Field(default=1, ge=1)
    epoch_reducer: (
        Annotated[str, StringConstraints(pattern=r"^(pass_at_\d+|at_least_\d+|max|mode|median|mean)$")] | None
    ) = None
    solvers: list[InspectSolver] = Field(min_length=1)
    scorers: list[InspectScorer] = Field(min_length=1)
