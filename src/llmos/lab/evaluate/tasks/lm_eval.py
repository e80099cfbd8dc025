"""Task files of lm-evaluation-harness, read as they are. Nothing of them is run as a program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from llmos.lab.evaluate.tasks.schema import Task, TaskError, parse_task

_DEFAULT_SEED = 1234
_MAX_INCLUDES = 8
_FORMATS = ("json", "csv", "parquet", "text")
# Fields that say nothing of what is asked and measured.
_IGNORED = (
    "task", "task_alias", "tag", "group", "metadata", "should_decontaminate", "doc_to_decontamination_query",
    "dataset_kwargs", "dataset_path", "dataset_name", "training_split", "validation_split", "test_split",
    "fewshot_split", "output_type", "doc_to_text", "doc_to_target", "doc_to_choice", "description",
    "target_delimiter", "fewshot_delimiter", "fewshot_config", "num_fewshot", "metric_list",
    "generation_kwargs", "repeats", "filter_list", "gen_prefix", "unsafe_code", "include",
)  # fmt: skip
_REFUSED = {
    "process_docs": "rewrites rows by a program",
    "process_results": "measures by a program",
    "custom_dataset": "reads rows by a program",
    "class": "is a program",
    "use_prompt": "takes prompts from another library",
    "doc_to_image": "asks about images",
    "doc_to_audio": "asks about sound",
}
_KINDS = {
    "multiple_choice": "multiple_choice",
    "loglikelihood": "loglikelihood",
    "loglikelihood_rolling": "perplexity",
    "generate_until": "generation",
}
_DEFAULTS = {
    "multiple_choice": ["acc", "acc_norm"],
    "loglikelihood": ["perplexity", "acc"],
    "loglikelihood_rolling": ["word_perplexity", "byte_perplexity", "bits_per_byte"],
    "generate_until": ["exact_match"],
}


class _Function(str):
    """The name of a program that a task file wants to run."""


class _Loader(yaml.SafeLoader):
    pass


_Loader.add_constructor("!function", lambda loader, node: _Function(node.value))


def looks_like_lm_eval(path: Path) -> bool:
    """By the fields only it has."""
    value = _load(path)
    keys = ("output_type", "doc_to_text", "doc_to_target", "include", "dataset_path")
    return any(key in value for key in keys)


def read_lm_eval(path: Path) -> Task:
    """The task of a file, with what it includes. Raises TaskError naming field and reason."""
    fields = _with_includes(path, 0)
    return from_lm_eval(fields, path.name)


def _load(path: Path) -> dict[str, Any]:
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TaskError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise TaskError(f"{path.name} holds no task.")
    return value


def _with_includes(path: Path, depth: int) -> dict[str, Any]:
    """Own fields over those of included files, later ones over earlier ones."""
    fields = _load(path)
    included = fields.pop("include", None)
    if included is None:
        return fields
    if depth >= _MAX_INCLUDES:
        raise TaskError(f"include: {path.name} includes more than {_MAX_INCLUDES} files deep.")
    merged: dict[str, Any] = {}
    for name in included if isinstance(included, list) else [included]:
        other = path.parent / str(name)
        if not other.is_file():
            raise TaskError(f"include: {path.name} includes {name}, which is not beside it.")
        merged |= _with_includes(other, depth + 1)
    return merged | fields


def from_lm_eval(fields: dict[str, Any], where: str) -> Task:
    """Our shape of a task, every default as lm-evaluation-harness has it."""
    _check(fields, where)
    output = fields.get("output_type", "generate_until")
    if output not in _KINDS:
        raise TaskError(f"{where}: output_type: {output!r} is none of {', '.join(_KINDS)}.")
    split = fields.get("test_split") or fields.get("validation_split")
    if not split:
        raise TaskError(f"{where}: test_split: the task names neither a test nor a validation split.")
    choices = fields.get("doc_to_choice")
    made: dict[str, Any] = {
        "id": str(fields.get("task") or "default"),
        "kind": _KINDS[output],
        "syntax": "lm-eval",
        "split": str(split),
        "config": fields.get("dataset_name"),
        "description": fields.get("description") or "",
        "prompt": fields.get("doc_to_text", "" if output == "loglikelihood_rolling" else None),
        "choices": list(map(str, choices.values())) if isinstance(choices, dict) else choices,
        "target": fields.get("doc_to_target"),
        "answer_prefix": fields.get("gen_prefix"),
        "target_delimiter": fields.get("target_delimiter", " "),
        "fewshot_delimiter": fields.get("fewshot_delimiter", "\n\n"),
        "fewshot": _fewshot(fields, where),
        "metrics": _metrics(fields, output, where),
        "views": _views(fields, where) if output == "generate_until" else [],
        "overlap": False,
        "context": "stride" if output == "loglikelihood_rolling" else "truncate_left",
    }
    made |= _data(fields, where) | (_generation(fields) if output == "generate_until" else {})
    return parse_task(made, where)


def _check(fields: dict[str, Any], where: str) -> None:
    for path, value in _walk(fields):
        if isinstance(value, _Function):
            raise TaskError(
                f"{where}: {path}: !function {value} would run a program of the task, which is refused. "
                "Write it as a template, or run the task with lm-eval itself: --lm-eval-task.",
                code="TaskRunsCode",
            )
    for name, reason in _REFUSED.items():
        if fields.get(name) is not None:
            raise TaskError(f"{where}: {name} {reason}; it is not read here. Run it with --lm-eval-task.")
    if isinstance(fields.get("task"), list):
        raise TaskError(f"{where}: task: this is a group of tasks; name one of them.")
    if fields.get("repeats", 1) != 1:
        raise TaskError(f"{where}: repeats: asking several times is not read here; set 1.")
    unknown = [name for name in fields if name not in _IGNORED and name not in _REFUSED]
    if unknown:
        raise TaskError(f"{where}: {unknown[0]}: lm-evaluation-harness knows no such field.")


def _walk(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [x for key, part in value.items() for x in _walk(part, f"{path}.{key}".lstrip("."))]
    if isinstance(value, list):
        return [x for number, part in enumerate(value) for x in _walk(part, f"{path}.{number}")]
    return [(path, value)]


def _data(fields: dict[str, Any], where: str) -> dict[str, Any]:
    place = fields.get("dataset_path")
    extra = fields.get("dataset_kwargs") or {}
    if place not in _FORMATS:
        return {"dataset": place}
    files = extra.get("data_files")
    if not files:
        raise TaskError(f"{where}: dataset_kwargs.data_files: dataset_path {place} needs the files.")
    if not isinstance(files, dict):
        files = {"train": files}
    return {
        "files": {str(k): [str(x) for x in (v if isinstance(v, list) else [v])] for k, v in files.items()}
    }


def _fewshot(fields: dict[str, Any], where: str) -> dict[str, Any]:
    own = fields.get("fewshot_config") or {}
    sampler = own.get("sampler", "default")
    if sampler not in ("default", "first_n"):
        raise TaskError(f"{where}: fewshot_config.sampler: {sampler} is neither default nor first_n.")
    split = own.get("split") or fields.get("fewshot_split")
    others = (fields.get(name) for name in ("training_split", "validation_split", "test_split"))
    return {
        "count": fields.get("num_fewshot") or 0,
        "seed": _DEFAULT_SEED,
        "sampler": "first" if sampler == "first_n" else "drawn",
        "split": split or next((name for name in others if name), None),
        "rows": own.get("samples") if not split else None,
        "indices": own.get("fewshot_indices"),
        "prompt": own.get("doc_to_text"),
        "choices": own.get("doc_to_choice"),
        "target": own.get("doc_to_target"),
        "target_delimiter": own.get("target_delimiter"),
        "delimiter": own.get("fewshot_delimiter"),
    }


def _metrics(fields: dict[str, Any], output: str, where: str) -> list[dict[str, Any]]:
    chosen = []
    for entry in fields.get("metric_list") or [{"metric": name} for name in _DEFAULTS[output]]:
        if not isinstance(entry, dict) or not isinstance(entry.get("metric"), str):
            raise TaskError(f"{where}: metric_list: each entry needs the name of a metric.")
        skipped = ("metric", "aggregation", "higher_is_better", "hf_evaluate", "trust_remote_code")
        settings = {key: value for key, value in entry.items() if key not in skipped}
        chosen.append({"name": _metric_name(entry["metric"], output, where), "settings": settings})
    return chosen


def _metric_name(name: str, output: str, where: str) -> str:
    own = {
        ("multiple_choice", "f1"): "f1_binary",
        ("multiple_choice", "acc_bytes"): "lm_eval_acc_bytes",
        ("multiple_choice", "exact_match"): "",
        ("loglikelihood", "perplexity"): "lm_eval_perplexity",
        ("generate_until", "exact_match"): "lm_eval_exact_match",
    }
    found = own.get((output, name), name)
    if not found or name in ("acc_mutual_info", "brier_score", "likelihood", "bypass"):
        raise TaskError(
            f"{where}: metric_list: {name} is not offered for {output}. Run it with --lm-eval-task."
        )
    return found


def _views(fields: dict[str, Any], where: str) -> list[dict[str, Any]]:
    views = []
    for pipeline in fields.get("filter_list") or []:
        steps = pipeline.get("filter") or []
        for step in steps:
            if step.get("function") not in (
                "regex",
                "lowercase",
                "uppercase",
                "remove_whitespace",
                "take_first",
                "map",
            ):
                raise TaskError(
                    f"{where}: filter_list: {step.get('function')} is not offered here. Run it with "
                    "--lm-eval-task."
                )
            _check_regex(step, where)
        views.append({"name": str(pipeline.get("name", "")), "filters": steps})
    if len(views) == 1:
        views[0]["name"] = ""
    return views


def _check_regex(step: dict[str, Any], where: str) -> None:
    try:
        re.compile(step.get("regex_pattern", ""))
    except (re.error, TypeError) as error:
        raise TaskError(f"{where}: filter_list: regex_pattern: {error}.") from error


def _generation(fields: dict[str, Any]) -> dict[str, Any]:
    own = fields.get("generation_kwargs") or {}
    stop = own.get("until", fields.get("fewshot_delimiter", "\n\n"))
    sampled = own.get("do_sample", False)
    return {
        "stop": [str(x) for x in ([stop] if isinstance(stop, str) else stop or [])],
        "max_new_tokens": own.get("max_gen_toks") or own.get("max_new_tokens") or 256,
        "temperature": float(own.get("temperature", 0.0)) if sampled else 0.0,
    }
