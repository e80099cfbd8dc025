"""`eval.yaml` of a data set: the tasks of a benchmark, ours or inspect-ai's; and any task file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from llmos.lab.evaluate.tasks.inspect_ai import from_inspect
from llmos.lab.evaluate.tasks.lm_eval import from_lm_eval, looks_like_lm_eval, read_lm_eval
from llmos.lab.evaluate.tasks.schema import Task, TaskError, parse_task

_GLOBAL = ("name", "description", "evaluation_framework", "tasks", "license", "language", "tags")


def read_spec(path: Path) -> dict[str, Any]:
    """The content of an `eval.yaml`. Raises TaskError where it is none."""
    try:
        # A ValueError may be of the encoding, or of a date like 2024-13-41.
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise TaskError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict) or not isinstance(value.get("tasks"), list) or not value["tasks"]:
        raise TaskError(f"{path.name}: tasks: a list of tasks is missing.")
    return value


def list_tasks(spec: dict[str, Any], where: str = "eval.yaml") -> list[Task]:
    """All tasks of a benchmark. Raises TaskError naming the first field that is wrong."""
    framework = spec.get("evaluation_framework", "llmos")
    tasks = spec["tasks"]
    for number, fields in enumerate(tasks):
        if not isinstance(fields, dict):
            raise TaskError(f"{where}: tasks.{number}: a task is a mapping of fields.")
        if len(tasks) > 1 and fields.get("id") is None:
            raise TaskError(f"{where}: tasks.{number}.id: with several tasks each needs an id.")
    if framework == "inspect-ai":
        return [from_inspect(fields, f"{where}: tasks.{n}") for n, fields in enumerate(tasks)]
    if framework == "llmos":
        language = spec.get("language")
        shared = {"language": language} if isinstance(language, str) else {}
        return [parse_task(shared | fields, f"{where}: tasks.{n}") for n, fields in enumerate(tasks)]
    raise TaskError(
        f'{where}: evaluation_framework: "{framework}" is none that runs here; llmos and inspect-ai are. '
        "Results made elsewhere can be committed to a model's .eval_results."
    )


def pick_task(tasks: list[Task], task_id: str | None) -> Task:
    """The task of this id, or the only one. Raises TaskError naming those there are."""
    ids = [task.id for task in tasks]
    if task_id is None and len(tasks) == 1:
        return tasks[0]
    if task_id not in ids:
        asked = f'has no task "{task_id}"' if task_id else "has several tasks, name one"
        raise TaskError(f"task_id: the benchmark {asked}: {', '.join(ids)}.")
    return tasks[ids.index(task_id)]


def read_task_file(path: Path, task_id: str | None = None) -> Task:
    """A task file: an `eval.yaml`, a single task of ours, or one of lm-evaluation-harness."""
    if not path.is_file():
        raise TaskError(f"task.file: there is no file {path}.")
    if looks_like_lm_eval(path):
        return read_lm_eval(path)
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    if isinstance(value, dict) and "tasks" not in value:
        return parse_task({k: v for k, v in value.items() if k not in ("name", "version")}, path.name)
    return pick_task(list_tasks(read_spec(path), path.name), task_id)


def task_of_definition(fields: dict[str, Any]) -> Task:
    """A task written into a recipe: resolved before (`as_run`), of ours, or lm-evaluation-harness's."""
    if "output_type" in fields or "doc_to_text" in fields:
        return from_lm_eval(fields, "task.definition")
    return parse_task(fields, "task.definition")
