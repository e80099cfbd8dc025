"""Where two statements differ, and whom to blame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmos.records.model_files import get_role
from llmos.records.report import Culprit, Report

MAX_DIFFERENCES = 200
# The longest beginning of a field's path decides.
_CULPRITS: dict[tuple[str, ...], Culprit] = {
    (): "statement",
    ("subject",): "weights",
    ("predicate", "model"): "model settings",
    ("predicate", "model", "files"): "weights",
    ("predicate", "model", "weights_sha256"): "weights",
    ("predicate", "model", "tokenizer_sha256"): "tokenizer",
    ("predicate", "model", "chat_template_sha256"): "chat template",
    ("predicate", "benchmark"): "task",
    ("predicate", "benchmark", "rows_sha256"): "data row",
    ("predicate", "benchmark", "row_count"): "data row",
    ("predicate", "benchmark", "repo"): "data row",
    ("predicate", "benchmark", "revision"): "data row",
    ("predicate", "benchmark", "config"): "data row",
    ("predicate", "benchmark", "split"): "data row",
    ("predicate", "fewshot"): "few-shot order",
    ("predicate", "fewshot", "seed"): "seed",
    ("predicate", "prompts_sha256"): "prompt",
    ("predicate", "settings"): "settings",
    ("predicate", "settings", "seed"): "seed",
    ("predicate", "metrics"): "metric",
    ("predicate", "counts"): "samples",
    ("predicate", "samples"): "answer",
    ("predicate", "samples", "file_sha256"): "samples",
    ("predicate", "environment"): "environment",
    ("predicate", "environment", "lock_sha256"): "package lock",
    ("predicate", "environment", "packages"): "package lock",
    ("predicate", "cost"): "cost",
    ("predicate", "run"): "run",
}
_ROLE_CULPRITS: dict[str | None, Culprit] = {
    "weights": "weights",
    "tokenizer": "tokenizer",
    "chat template": "chat template",
    "settings": "model settings",
    "code": "model code",
}


def role_culprit(path: str) -> Culprit:
    """Whom a file of a model belongs to."""
    return _ROLE_CULPRITS.get(get_role(path), "model settings")


def report_differences(report: Report, signed: Any, shown: Any) -> None:
    """Name every field of statement.json (`shown`) that is not as in the envelope (`signed`)."""
    by_culprit: dict[Culprit, list[str]] = {}
    for number, (path, text) in enumerate(_differences(signed, shown, ())):
        if number == MAX_DIFFERENCES:
            break
        by_culprit.setdefault(_blame(path, signed, shown), []).append(f"{_dotted(path)}: {text}")
    for culprit, where in by_culprit.items():
        report.found(culprit, "statement.json is not what the envelope holds:", where)


def _differences(signed: Any, shown: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
    if isinstance(signed, dict) and isinstance(shown, dict):
        for key in sorted(signed.keys() | shown.keys()):
            if key not in signed:
                yield (*path, key), "was added"
            elif key not in shown:
                yield (*path, key), "was taken away"
            else:
                yield from _differences(signed[key], shown[key], (*path, key))
    elif isinstance(signed, list) and isinstance(shown, list) and len(signed) == len(shown):
        for number, (one, other) in enumerate(zip(signed, shown, strict=True)):
            yield from _differences(one, other, (*path, number))
    elif type(signed) is not type(shown) or signed != shown:
        yield path, f"{_short(shown)} in statement.json, {_short(signed)} in the envelope"


def _blame(path: tuple[Any, ...], *statements: Any) -> Culprit:
    if path[:3] == ("predicate", "model", "files") and len(path) > 3:
        for statement in statements:
            file = statement["predicate"]["model"]["files"][path[3]]
            if isinstance(file, dict) and isinstance(file.get("path"), str):
                return role_culprit(file["path"])
    if path[:2] == ("predicate", "metrics") and path[-1] in ("low", "high"):
        return "interval"
    return next(_CULPRITS[path[:length]] for length in range(len(path), -1, -1) if path[:length] in _CULPRITS)


def _dotted(path: tuple[Any, ...]) -> str:
    return ".".join(str(part) for part in path) or "all of it"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
