"""From a recipe to what it names: the task with its rows, the engine that answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos.lab.evaluate.answers import Manner, characters, no_length, size_bytes
from llmos.lab.evaluate.engines.base import Engine, EngineError
from llmos.lab.evaluate.tasks.fewshot import Examples
from llmos.lab.evaluate.tasks.measures import Measure, measures_of
from llmos.lab.evaluate.tasks.ours import (
    list_tasks,
    pick_task,
    read_spec,
    read_task_file,
    task_of_definition,
)
from llmos.lab.evaluate.tasks.questions import Asker, Question
from llmos.lab.evaluate.tasks.rows import SPEC, Dataset, open_folder, open_repo, split_rows
from llmos.lab.evaluate.tasks.schema import GENERATED, Task, TaskError
from llmos.lab.train.places import locate_model
from llmos.wire.evaluation_recipe import EvaluationPlan

_HEADS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")
_SEQ2SEQ = ("ForConditionalGeneration",)


@dataclass(frozen=True)
class OpenedTask:
    """A task as it will be run. `dataset` is None where its files lie by themselves."""

    task: Task
    dataset: Dataset | None
    measures: list[Measure]
    questions: list[Question]
    name: str
    data: str | None


def open_task(plan: EvaluationPlan, root: Path) -> OpenedTask:
    """The task with the plan's own wishes, its metrics and its questions.

    Raises TaskError naming the field, the split, the metric or the row that is wrong.
    """
    task, dataset, base = _find(plan, root)
    task = _with_wishes(task, plan)
    measures = measures_of(task, plan.metrics)
    rows = split_rows(task, task.split, dataset, base)[: plan.limit]
    examples = Examples(task, plan.seed, lambda split: split_rows(task, split, dataset, base))
    asker = Asker(task)
    questions = [asker.ask(row, name, examples.of(name, row)) for name, row in rows]
    title = dataset.name if dataset else (task.title or task.id)
    return OpenedTask(task, dataset, measures, questions, title, _place(plan, dataset, root))


def _find(plan: EvaluationPlan, root: Path) -> tuple[Task, Dataset | None, Path]:
    if plan.benchmark is not None:
        chosen = plan.benchmark
        if chosen.path is not None:
            dataset = open_folder(root / Path(chosen.path).expanduser())
        else:
            dataset = open_repo(chosen.repo or "", chosen.revision)
        spec = read_spec(dataset.access(SPEC, "which says what its tasks are"))
        return pick_task(list_tasks(spec, SPEC), chosen.task_id), dataset, root
    assert plan.task is not None
    own = plan.task
    if own.kind is not None:
        task = Task(id=own.kind, kind=own.kind, files={"test": list(own.files)}, context="stride")
        return task, open_repo(own.dataset, own.revision) if own.dataset else None, root
    base = root
    if own.file is not None:
        path = root / Path(own.file).expanduser()
        task, base = read_task_file(path), path.parent
    else:
        task = task_of_definition(own.definition or {})
    if own.files:
        task = task.model_copy(update={"files": {task.split: list(own.files)}})
        base = root
    place = own.dataset or (task.dataset if task.files is None else None)
    if place is None:
        return task, None, base
    if own.dataset is None and (base / place).is_dir():
        return task, open_folder(base / place), base
    return task, open_repo(place, own.revision), base


def _with_wishes(task: Task, plan: EvaluationPlan) -> Task:
    wishes: dict[str, Any] = {}
    if plan.fewshot is not None:
        if task.kind == "perplexity" and plan.fewshot:
            raise TaskError("fewshot: perplexity is of texts as they are; ask for 0 examples.")
        wishes["fewshot"] = task.fewshot.model_copy(update={"count": plan.fewshot})
    if plan.max_new_tokens is not None:
        wishes["max_new_tokens"] = plan.max_new_tokens
    if plan.temperature is not None:
        wishes["temperature"] = plan.temperature
    policy = (
        plan.context_policy or task.context or ("stride" if task.kind == "perplexity" else "truncate_left")
    )
    if (policy == "stride") != (task.kind == "perplexity") and policy != "refuse":
        raise TaskError(
            f"context_policy: {policy} does not fit a task of kind {task.kind}: texts are read in windows "
            "(stride), prompts cut at their beginning (truncate_left), and either refused (refuse)."
        )
    return task.model_copy(update=wishes | {"context": policy})


def _place(plan: EvaluationPlan, dataset: Dataset | None, root: Path) -> str | None:
    if dataset is not None:
        return dataset.repo or (str(dataset.folder.resolve()) if dataset.folder else None)
    own = plan.task
    if own is not None and len(own.files) == 1:
        return str((root / own.files[0]).resolve())
    return str(root.resolve())


@dataclass(frozen=True)
class OpenedModel:
    """An engine and where its model is; `folder` None behind an endpoint."""

    engine: Engine
    name: str
    folder: Path | None
    repo: str | None = None
    revision: str | None = None


def open_model(plan: EvaluationPlan, task: Task, root: Path, output: Path) -> OpenedModel:
    """Load the model, or reach the endpoint. Raises EngineError, ModelError or what the hub answers."""
    if plan.endpoint is not None:
        from llmos.lab.evaluate.engines.endpoint import EndpointEngine

        engine: Engine = EndpointEngine(plan.endpoint, output, root=root)
        return OpenedModel(engine, plan.endpoint.model, None)
    folder, found = find_model(plan, root)
    engine = _engine(plan, task, folder)
    repo = plan.model.repo if plan.model else None
    return OpenedModel(engine, str(found["name"]), folder, repo, found["revision"])


def find_model(plan: EvaluationPlan, root: Path) -> tuple[Path, dict[str, Any]]:
    """The model's folder on this machine, with its name and revision. Raises as `open_model` does."""
    chosen = plan.model
    if chosen is None:
        raise EngineError("model: this task needs a model on this machine.")
    if chosen.path is not None:
        folder = root / Path(chosen.path).expanduser()
        if not folder.is_dir():
            raise EngineError(f"model.path: there is no folder {folder}.")
        return folder, {"name": folder.resolve().name, "revision": None}
    found = locate_model(chosen.repo or "", chosen.revision, "model.repo")
    return Path(found["path"]), found


def _engine(plan: EvaluationPlan, task: Task, folder: Path) -> Engine:
    assert plan.model is not None
    options: dict[str, Any] = {"dtype": plan.model.dtype, "device": plan.model.device}
    options |= {"batch_size": plan.batch_size, "truncate": task.context == "truncate_left"}
    kind = _architecture(folder)
    if kind.endswith(_HEADS):
        from llmos.lab.evaluate.engines.heads import HeadEngine

        return HeadEngine(folder, kind, **options)
    if kind.endswith(_SEQ2SEQ) and task.kind in (*GENERATED, "qa"):
        from llmos.lab.evaluate.engines.heads import SeqToSeqEngine

        return SeqToSeqEngine(folder, **options)
    from llmos.lab.evaluate.engines.local import LocalEngine

    if task.kind == "perplexity":
        options["truncate"] = task.context == "stride"
    return LocalEngine(folder, **options)


def _architecture(folder: Path) -> str:
    import json

    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures")
    except (OSError, ValueError, AttributeError) as error:
        raise EngineError(f"{folder.name} has no config.json that can be read: {error}.") from error
    return str(found[0]) if isinstance(found, list) and found else ""


def manner_of(plan: EvaluationPlan, task: Task, measures: Sequence[Measure]) -> Manner:
    """Chat where asked for, or where the task is one; which lengths decide follows from the metrics."""
    names = {measure.metric.name.partition("@")[0] for measure in measures}
    lengths = [no_length]
    lengths += [characters] * ("acc_norm" in names) + [size_bytes] * ("acc_bytes" in names)
    chat = plan.chat_template if plan.chat_template is not None else task.kind == "chat"
    if chat and task.kind in ("perplexity", "tagging"):
        raise TaskError(f"chat_template: a task of kind {task.kind} asks nothing; leave it out.")
    return Manner(chat, plan.seed, task.max_new_tokens, task.temperature, lengths)
