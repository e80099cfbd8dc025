"""When two machines made the same: a digest of what a job left, without what only tells of the run.

Everything counts but what is named here, so that a file nobody expects makes two results different.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

# Times, energy and the machine's name stand in these; nothing that loads a model reads them.
_TELLS_OF_THE_RUN = re.compile(r"README\.md|metrics\.json|runs/events\.out\.tfevents\.[\w.-]{1,200}")
# An evaluation's evidence lies below the digest of its statement, which holds times, too.
_EVIDENCE = re.compile(r"\.eval_results/bundles/[0-9a-f]{32}/(.+)")
_STATEMENT = "statement.json"
_NOT_OF_THE_SCORE = ("record_id", "created_at", "cost", "environment", "run")
MAX_STATEMENT_BYTES = 8 * 1024 * 1024
EMPTY = ""


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file by its path below the output. `sha256` is of its content, in hex; `read` gives the content,
    or None where it is larger than MAX_STATEMENT_BYTES."""

    path: str
    sha256: Callable[[], str]
    read: Callable[[], bytes | None]


def digest_results(files: Iterable[MadeFile]) -> str:
    """Equal for two machines that came to the same result; EMPTY when nothing of it can be compared."""
    lines = sorted(line for file in files if (line := _line(file)))
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest() if lines else EMPTY


def _line(file: MadeFile) -> str:
    if _TELLS_OF_THE_RUN.fullmatch(file.path):
        return ""
    path, content = file.path, ""
    if evidence := _EVIDENCE.fullmatch(path):
        path = f".eval_results/bundles/*/{evidence[1]}"
        if evidence[1] == _STATEMENT:
            content = _digest_of_statement(file.read())
    return f"{content or file.sha256()}  {json.dumps(path)}\n"


def _digest_of_statement(data: bytes | None) -> str:
    """Of what the score stands on; "" for what is no statement, which then counts as it is."""
    try:
        value = json.loads(data or b"")
        predicate = {key: item for key, item in value["predicate"].items() if key not in _NOT_OF_THE_SCORE}
        settings = {key: item for key, item in predicate["settings"].items() if key != "threads"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    text = json.dumps(value | {"predicate": predicate | {"settings": settings}}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
