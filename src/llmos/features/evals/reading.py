"""What the files of a revision say about evaluation; read before a transaction begins."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmos.core.errors import LlmosError
from llmos.core.repo_types import RepoType
from llmos.features.evals.evidence import Evidence, read_evidence
from llmos.features.evals.instances import own_key
from llmos.features.evals.overlaps import FOLDER, read_overlap
from llmos.features.repos.cards.eval_results import (
    EvalSpec,
    EvalSpecError,
    is_eval_result_path,
    parse_eval_results,
    parse_eval_spec,
)
from llmos.features.repos.head_facts import MAX_RESULT_FILES, more_readers
from llmos.features.repos.revision_files import RevisionFiles
from llmos.infra.runtime import Runtime
from llmos.records.keys import PublicKey

NAME = "evaluation"
SPEC_PATH = "eval.yaml"
MAX_SPEC_BYTES = 512 * 1024
MAX_ENVELOPE_BYTES = 4 * 1024 * 1024
MAX_BUNDLES = 500
MAX_OVERLAPS = 50
MAX_OVERLAP_BYTES = 16 * 1024 * 1024
_OVERLAP = re.compile(rf"{FOLDER}/[^/]+\.json")
_ENVELOPE = re.compile(r"(\.eval_results/bundles/[0-9a-f]{32})/envelope\.json")


@dataclass(slots=True)
class Reading:
    """`claims` are lines of result files with the file's name; `evidence` what envelopes prove; `overlaps`
    the items of a benchmark that stand in data sets."""

    commit: str
    own: PublicKey | None = None
    spec: EvalSpec | None = None
    claims: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    overlaps: dict[str, list[str]] = field(default_factory=dict)


def read_evaluation(rt: Runtime, files: RevisionFiles, repo_type: RepoType) -> Reading | None:
    """The benchmark of a data set, the results of a model; None where there is neither."""
    if repo_type is RepoType.DATASET:
        spec = _read_spec(files)
        return Reading(files.commit, spec=spec, overlaps=_read_overlaps(files)) if spec is not None else None
    if repo_type is not RepoType.MODEL:
        return None
    reading = Reading(files.commit, claims=_read_claims(files))
    envelopes = [match for path in files.entries if (match := _ENVELOPE.fullmatch(path))]
    for match in envelopes[:MAX_BUNDLES]:
        data = files.read_small(match[0], MAX_ENVELOPE_BYTES)
        if data is not None:
            reading.evidence.append(read_evidence(rt, files, match[1], data))
    if reading.evidence:
        reading.own = own_key(rt).public
    return reading if reading.claims or reading.evidence else None


def _read_spec(files: RevisionFiles) -> EvalSpec | None:
    data = files.read_small(SPEC_PATH, MAX_SPEC_BYTES)
    if data is None:
        return None
    try:
        return parse_eval_spec(data)
    except EvalSpecError:
        # Pushes by git are not refused for it; the page of the file says what is wrong.
        return None


def _read_overlaps(files: RevisionFiles) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in [path for path in files.entries if _OVERLAP.fullmatch(path)][:MAX_OVERLAPS]:
        read = read_overlap(files.read_small(path, MAX_OVERLAP_BYTES) or b"")
        if read is not None:
            found[read[0]] = sorted({*found.get(read[0], ()), *read[1]})
    return found


def _read_claims(files: RevisionFiles) -> list[tuple[str, dict[str, Any]]]:
    paths = [path for path in files.entries if is_eval_result_path(path)][:MAX_RESULT_FILES]
    contents = {path: files.read_small(path, 256 * 1024) for path in paths}
    found = parse_eval_results({path: data for path, data in contents.items() if data is not None})
    return [(file.filename, entry) for file in found for entry in file.entries]


def read_revision(rt: Runtime, git_path: Path, commit: str) -> Reading | None:
    """The results in any commit of a model; None where it cannot be read."""
    try:
        return read_evaluation(rt, RevisionFiles(rt, git_path, commit), RepoType.MODEL)
    except LlmosError:
        return None


more_readers[NAME] = read_evaluation
