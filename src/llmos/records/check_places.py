"""Checks a model folder and data files against what a statement says of them."""

from __future__ import annotations

from pathlib import Path

from llmos.records.check_samples import SampleFacts
from llmos.records.differences import role_culprit
from llmos.records.digests import hash_files
from llmos.records.errors import RecordError
from llmos.records.model_files import (
    TOKENIZER_CONFIG,
    chat_template_digest,
    list_model_files,
    tokenizer_digest,
)
from llmos.records.report import Culprit, Report
from llmos.records.rows import list_data_files, row_digests
from llmos.wire.evaluation import FileDigest, ModelFacts


def check_model(folder: Path, model: ModelFacts, report: Report) -> None:
    """Name every file of the model that is not what was evaluated.

    Paths in the statement are only compared, never opened; a file of another size is not read.
    """
    try:
        wrong, files = _compare_files(folder, {file.path: file for file in model.files})
        by_culprit: dict[Culprit, list[str]] = {}
        for path, text in wrong.items():
            if path != TOKENIZER_CONFIG or not _is_config_explained(folder, files, model, report):
                by_culprit.setdefault(role_culprit(path), []).append(f"{path}: {text}")
    except (RecordError, OSError) as error:
        report.found("weights", f"the model in {folder} cannot be read: {error}")
        return
    for culprit, where in by_culprit.items():
        report.found(culprit, f"{folder} is not the model that was evaluated:", where)
    report.checked += ["weights", "tokenizer", "chat template"]


def check_data(place: Path, facts: SampleFacts, examples: dict[str, str], report: Report) -> None:
    """Name every sample, and every example shown (row digests by id), not in the data files of `place`."""
    missing = {*facts.rows, *examples.values()}
    unread: list[str] = []
    try:
        for path in list_data_files(place):
            try:
                missing -= row_digests(path)
            except RecordError as error:
                unread.append(error.message)
    except (RecordError, OSError) as error:
        report.found("data row", f"the data in {place} cannot be read: {error}")
        return
    if missing:
        where = [f"sample {id_}" for id_, row in zip(facts.ids, facts.rows, strict=True) if row in missing]
        where += [f"example {id_}" for id_, row in examples.items() if row in missing]
        report.found(
            "data row", f"{place} does not hold {len(where)} rows that were read:", [*where, *unread]
        )
    report.checked.append("data rows")


def _compare_files(folder: Path, expected: dict[str, FileDigest]) -> tuple[dict[str, str], list[FileDigest]]:
    """What is wrong by path, and the files as they are; those of a wrong size carry no real digest."""
    paths = list_model_files(folder)
    wrong = {path: "is missing" for path in expected if path not in paths}
    wrong |= {path: "was not there" for path in paths if path not in expected}
    sizes = {path: paths[path].stat().st_size for path in paths if path in expected}
    wrong |= {
        path: f"has {size:,} bytes, {expected[path].size_bytes:,} were evaluated"
        for path, size in sizes.items()
        if size != expected[path].size_bytes
    }
    same = [path for path in sizes if path not in wrong]
    hashed = hash_files([paths[path] for path in same])
    found = {path: file.sha256 for path, file in zip(same, hashed, strict=True)}
    wrong |= {path: "has other content" for path in same if found[path] != expected[path].sha256}
    files = [
        FileDigest(path=path, size_bytes=sizes.get(path, 0), sha256=found.get(path, "0" * 64))
        for path in paths
    ]
    return wrong, files


def _is_config_explained(folder: Path, files: list[FileDigest], model: ModelFacts, report: Report) -> bool:
    """tokenizer_config.json holds the chat template too: blame whichever of the two was changed."""
    has_template = chat_template_digest(folder, files) == model.chat_template_sha256
    has_tokenizer = tokenizer_digest(folder, files) == model.tokenizer_sha256
    if not has_template:
        report.found("chat template", f"{folder} has another chat template:", [TOKENIZER_CONFIG])
    # Other tokenizer files that were changed are named by themselves.
    return not has_template and has_tokenizer
