"""Evaluation as files: `.eval_results/*.yaml` of a model, `eval.yaml` of a benchmark.

Format: the Hub's "evaluation results" and "leaderboard data guide".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import yaml
from pydantic import ValidationError

from llmos.core.errors import BadRequest
from llmos.features.repos.cards.findings import Findings, is_repo_id
from llmos.features.repos.cards.front_matter import decode_text
from llmos.features.repos.cards.safe_yaml import YamlError, load_yaml
from llmos.features.repos.cards.values import as_map, as_text
from llmos.wire.inspect_task import FRAMEWORK, ONLY_TASK, InspectTask

MAX_ENTRIES = 1000
_RESULT_PATH = re.compile(r"\.eval_results/[^/]+\.ya?ml")
_ENTRY_KEYS = ("dataset", "value", "verifyToken", "date", "source", "notes")

EVALUATION_FRAMEWORKS = frozenset(
    (
        *("apex-evals", "archipelago", "claw-eval", "exgentic", "harbor", "inspect-ai", "llmos"),
        *("lighteval", "lm-eval", "math-arena", "mdpbench", "mteb", "nemo-evaluator"),
        *("olmocr-bench", "open-asr-leaderboard", "parsebench", "screenspot-pro", "swe-bench"),
        *("swe-bench-pro", "video-mme-v2", "wildclawbench", "yc-bench"),
    )
)
"""Known names for `evaluation_framework`; another name is a warning."""


class EvalSpecError(BadRequest):
    """`eval.yaml` cannot be used; the message lists every reason."""

    code = "InvalidEvalSpec"


@dataclass(frozen=True)
class EvalResultFile:
    """One result file: its entries as the API returns them, or why it was refused as a whole."""

    filename: str
    entries: tuple[dict[str, Any], ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class EvalTask:
    """One task of a benchmark; `settings` keeps what the framework itself reads."""

    id: str
    config: str | None = None
    split: str = "test"
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EvalSpec:
    """A benchmark as its `eval.yaml` declares it."""

    name: str
    description: str
    evaluation_framework: str
    tasks: tuple[EvalTask, ...]
    warnings: tuple[str, ...] = ()


def is_eval_result_path(path: str) -> bool:
    """Whether a path in a model repository is a result file."""
    return _RESULT_PATH.fullmatch(path) is not None


def parse_eval_results(files: Mapping[str, bytes | str]) -> list[EvalResultFile]:
    """Read every result file among `files` (path -> content), in order of path."""
    paths = sorted(path for path in files if is_eval_result_path(path))
    return [parse_eval_result_file(path, files[path]) for path in paths]


def parse_eval_result_file(filename: str, content: bytes | str) -> EvalResultFile:
    """Read one result file; a single bad entry refuses the file, as it does on the Hub.

    Each entry needs `dataset.id`, `dataset.task_id` and a numeric `value`; `source` needs `url`.
    Unknown keys are dropped.
    """
    try:
        value = load_yaml(decode_text(content)).value
    except YamlError as error:
        return EvalResultFile(filename, error=f"invalid yaml: {error.message}")
    found = Findings()
    if not isinstance(value, list) or not value:
        return EvalResultFile(filename, error="the file must be a list of results")
    if len(value) > MAX_ENTRIES:
        return EvalResultFile(filename, error=f"more than {MAX_ENTRIES} results; split the file")
    entries = tuple(_entry(found, f"[{i}]", item) for i, item in enumerate(value))
    if found.errors:
        return EvalResultFile(filename, error="; ".join(found.errors))
    return EvalResultFile(filename, entries)


def eval_results_json(files: list[EvalResultFile]) -> list[dict[str, Any]]:
    """The API's `evalResults`: `{filename, data}` per entry, `{filename, error}` per bad file."""
    answer: list[dict[str, Any]] = []
    for file in files:
        if file.error is not None:
            answer.append({"filename": file.filename, "error": file.error})
        answer += [{"filename": file.filename, "data": entry} for entry in file.entries]
    return answer


def _entry(found: Findings, path: str, item: Any) -> dict[str, Any]:
    entry = found.mapping(path, item)
    if entry is None:
        return {}
    _check_dataset(found, f"{path}.dataset", entry.get("dataset"))
    value = entry.get("value")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        found.error(f'"{path}.value" must be a finite number')
    for key in ("verifyToken", "date", "notes"):
        if entry.get(key) is not None:
            found.text(f"{path}.{key}", entry[key])
    date = entry.get("date")
    if isinstance(date, str) and not _is_iso_date(date):
        found.error(f'"{path}.date" must be an ISO 8601 date or time')
    if entry.get("source") is not None:
        _check_source(found, f"{path}.source", entry["source"])
    return {key: entry[key] for key in _ENTRY_KEYS if entry.get(key) is not None}


def _check_dataset(found: Findings, path: str, value: Any) -> None:
    dataset = found.mapping(path, value)
    if dataset is None:
        return
    for key in ("id", "task_id"):
        found.required_text(path, dataset, key)
    if as_text(dataset.get("id")) and not is_repo_id(dataset["id"]):
        found.error(f'"{path}.id" must be a data set id such as ada/tiny-bench')
    if dataset.get("revision") is not None:
        found.text(f"{path}.revision", dataset["revision"])


def _check_source(found: Findings, path: str, value: Any) -> None:
    source = found.mapping(path, value)
    if source is None:
        return
    found.required_text(path, source, "url")
    url = source.get("url")
    if isinstance(url, str) and not url.startswith(("https://", "http://")):
        found.error(f'"{path}.url" must start with https:// or http://')
    for key in ("name", "user", "org"):
        if source.get(key) is not None:
            found.text(f"{path}.{key}", source[key])


def _is_iso_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def parse_eval_spec(content: bytes | str) -> EvalSpec:
    """Read a benchmark's `eval.yaml`.

    Needs `name`, `description`, `evaluation_framework` and at least one task with a unique `id`. Where the
    framework is inspect-ai, what that accepts is accepted and nothing else: it asks for neither name nor
    description, nor for the `id` of an only task. Raises `EvalSpecError`.
    """
    found = Findings()
    try:
        document = load_yaml(decode_text(content))
    except YamlError as error:
        raise EvalSpecError(f"eval.yaml: {error.message}") from error
    spec = as_map(document.value)
    if spec.get("evaluation_framework") == FRAMEWORK:
        return _inspect_spec(found, content, spec)
    for key in ("name", "description", "evaluation_framework"):
        found.required_text("eval.yaml", spec, key)
    framework = as_text(spec.get("evaluation_framework")) or ""
    if framework and framework not in EVALUATION_FRAMEWORKS:
        found.warn(f'"evaluation_framework" "{framework}" is not a known framework')
    raw_tasks = found.array("eval.yaml.tasks", spec.get("tasks"))
    if not raw_tasks:
        found.error('"eval.yaml.tasks" must contain at least one task')
    tasks = [_task(found, f"tasks[{i}]", t) for i, t in enumerate(raw_tasks[:MAX_ENTRIES])]
    if len({task.id for task in tasks}) < len(tasks):
        found.error('"eval.yaml.tasks" repeats an id; ids must differ')
    if found.errors:
        raise EvalSpecError("; ".join(found.errors), data={"errors": found.errors})
    name, text = spec["name"], spec["description"]
    return EvalSpec(name, text, framework, tuple(tasks), tuple(found.warnings))


def _task(found: Findings, path: str, value: Any) -> EvalTask:
    task = found.mapping(path, value) or {}
    found.required_text(path, task, "id")
    for key in ("config", "split"):
        if task.get(key) is not None:
            found.text(f"{path}.{key}", task[key])
    return _eval_task(task, "")


def _eval_task(task: dict[str, Any], only_id: str) -> EvalTask:
    known = {"id", "config", "split"}
    return EvalTask(
        id=as_text(task.get("id")) or only_id,
        config=as_text(task.get("config")),
        split=as_text(task.get("split")) or "test",
        settings={key: item for key, item in task.items() if key not in known},
    )


def _inspect_spec(found: Findings, content: bytes | str, spec: dict[str, Any]) -> EvalSpec:
    """The benchmark of a file for inspect-ai, which reads YAML 1.1: there `no` and dates are no text."""
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        # Depth and aliases were counted before.
        value = yaml.load(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise EvalSpecError(f"eval.yaml: {' '.join(str(error).split())[:300]}") from error
    tasks = as_map(value).get("tasks")
    if not isinstance(tasks, list) or not tasks:
        raise EvalSpecError('"eval.yaml.tasks" must contain at least one task')
    read: dict[str, EvalTask] = {}
    for i, item in enumerate(tasks[:MAX_ENTRIES]):
        task_id = _check_inspect_task(found, f"tasks[{i}]", item)
        if len(tasks) > 1 and task_id is None:
            found.error(f'"tasks[{i}].id" is required where there are several tasks')
        elif task_id in read:
            found.warn(f'"tasks[{i}].id" repeats "{task_id}"; the first one has the board')
        else:
            read[task_id or ONLY_TASK] = _eval_task(as_map(item), ONLY_TASK)
    if found.errors:
        raise EvalSpecError("; ".join(found.errors), data={"errors": found.errors})
    name, text = (as_text(spec.get(key)) or "" for key in ("name", "description"))
    return EvalSpec(name, text, FRAMEWORK, tuple(read.values()), tuple(found.warnings))


def _check_inspect_task(found: Findings, path: str, value: Any) -> str | None:
    """Its id; what inspect-ai refuses in it is an error, by its field."""
    try:
        return InspectTask.model_validate(value).id
    except ValidationError as error:
        for one in error.errors(include_url=False):
            place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in one["loc"])
            found.error(f'"{path}{place}": {one["msg"]}')
    for key in ("scorer", "scores", "solver"):
        if key in as_map(value):
            found.error(f'"{path}.{key}" is not a field; use "solvers" and "scorers"')
    return None
