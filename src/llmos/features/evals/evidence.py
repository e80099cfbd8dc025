"""What an envelope in a model's repository proves, before anybody asks whose key signed it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from llmos.core.errors import LlmosError
from llmos.features.repos.revision_files import RevisionFiles
from llmos.infra.git.revisions import resolve
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.records import digests
from llmos.records.bundle import parse_statement
from llmos.records.canonical import parse
from llmos.records.envelope import list_signers, payload_of
from llmos.records.errors import RecordError
from llmos.records.keys import PublicKey
from llmos.wire.evaluation import Envelope, FileDigest, Predicate, Statement

SAMPLES = "samples.parquet"


@dataclass(slots=True)
class Evidence:
    """`problem` says why the envelope proves nothing about this model; empty where it holds."""

    record_id: str
    folder: str
    text: str
    predicate: Predicate | None = None
    problem: str = ""


def signer_of(text: str, keys: Iterable[PublicKey]) -> PublicKey | None:
    """The first of `keys` whose signature is on an envelope. Raises RecordError, ValueError."""
    return next(iter(list_signers(Envelope.model_validate_json(text), keys)), None)


def read_payload(text: bytes | str) -> bytes:
    """The signed bytes of an envelope: its statement. Raises RecordError, ValueError."""
    return payload_of(Envelope.model_validate_json(text))


def read_statement(payload: bytes) -> Statement:
    """The statement in a payload. Raises RecordError."""
    return parse_statement(payload)


def read_evidence(rt: Runtime, files: RevisionFiles, folder: str, data: bytes) -> Evidence:
    """An envelope against the files of the repository it lies in: model and samples by their digests."""
    name = folder.rpartition("/")[2]
    found = Evidence(name, folder, data.decode("utf-8", "replace"))
    try:
        payload = read_payload(data)
        record_id = digests.record_id(parse(payload, name="statement.json"))
        found.predicate = read_statement(payload).predicate
    except (RecordError, ValidationError, ValueError, KeyError, TypeError):
        found.problem = lazy("its envelope cannot be read")
        return found
    if not record_id == found.predicate.record_id == name:
        found.problem = lazy("the id of the record does not follow from its content")
    else:
        found.problem = _problem(rt, files, found.folder, found.predicate)
    return found


def _problem(rt: Runtime, files: RevisionFiles, folder: str, predicate: Predicate) -> str:
    if predicate.model.endpoint is not None or not predicate.model.files:
        return lazy("the record speaks of an endpoint, not of files of this model")
    wrong = wrong_file(rt, files, predicate.model.files, predicate.model.revision)
    if wrong is None:
        return lazy("the commit it names is not in this repository")
    if wrong:
        return lazy("the record is of another model: %(file)s differs", file=wrong)
    return _samples_problem(files, folder, predicate)


def wrong_file(
    rt: Runtime, files: RevisionFiles, wanted: Iterable[FileDigest], revision: str | None
) -> str | None:
    """The first of the files that the commit does not hold; empty: it holds all; None: no such commit.

    The same files have other commits on other instances: without the one that is named those of `files`
    will do, if they are the same to the byte.
    """
    at, is_here = files, True
    if revision is not None and revision != files.commit:
        try:
            at = files.at(rt, resolve(files.git_repo, revision))
        except LlmosError:
            is_here = False
    wrong = next((file.path for file in wanted if at.sha256(file.path) != file.sha256), "")
    return wrong if is_here or not wrong else None


def _samples_problem(files: RevisionFiles, folder: str, predicate: Predicate) -> str:
    path = f"{folder}/{SAMPLES}"
    if path not in files.entries:
        return lazy("its samples are missing: %(file)s", file=path)
    if files.sha256(path) != predicate.samples.file_sha256:
        return lazy("its samples were changed: %(file)s", file=path)
    return ""


def facts_of(predicate: Predicate) -> dict[str, Any]:
    """What a result keeps of a record besides its value."""
    return {
        "revision": (predicate.model.revision or "")[:40] or None,
        "dataset_revision": (predicate.benchmark.revision or "")[:64] or None,
        "precision": predicate.model.dtype[:20],
        "parameters": predicate.model.parameters,
        "energy_wh": predicate.cost.energy_wh,
        "wall_s": predicate.cost.wall_s,
        "tokens": predicate.cost.tokens,
        "job_object_id": predicate.run.job_id or "",
        "created_at": predicate.created_at,
        "metrics": [item.model_dump(mode="json") for item in predicate.metrics],
        "same_key": same_key(predicate),
    }


def same_key(predicate: Predicate) -> str:
    """Equal for records of the same model asked the same questions in the same way."""
    parts = (
        *(predicate.model.weights_sha256, predicate.model.tokenizer_sha256),
        *(predicate.model.chat_template_sha256, predicate.benchmark.rows_sha256),
        *(predicate.benchmark.task_sha256, predicate.fewshot.order_sha256, predicate.prompts_sha256),
    )
    return hashlib.sha256("|".join(part or "-" for part in parts).encode()).hexdigest()
