"""What a job says it has evaluated, against what it was given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llmos.core.errors import LlmosError
from llmos.core.repo_types import RepoType
from llmos.features.evals.evidence import wrong_file
from llmos.features.evals.instances import own_key
from llmos.features.evals.naming import access_named
from llmos.features.jobs.models import Job
from llmos.features.repos.models import Repo
from llmos.features.repos.places import git_path
from llmos.features.repos.revision_files import RevisionFiles
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.records.bundle import ENVELOPE_FILE, LOG_FILE
from llmos.records.errors import RecordError
from llmos.records.rows import file_format
from llmos.records.verify import verify_bundle
from llmos.wire.evaluation import Statement

MAX_DATA_BYTES = 2 * 1024**3
_PIECE_BYTES = 8 * 1024 * 1024


class NotSigned(LlmosError):
    """Why this instance does not vouch for what a job made."""

    status = 422
    code = "NotSigned"


@dataclass(frozen=True)
class Made:
    """What a job has committed: the bundle `folder` of `repo` at `commit`, on `ref`."""

    job: Job
    repo: Repo
    commit: str
    ref: str
    folder: str
    files: RevisionFiles
    statement: Statement
    party: str


def check_inputs(rt: Runtime, made: Made) -> None:
    """The record must be of what the job was given: the same model, the same data, both at its commits."""
    given = {(item["type"], item["repo"].lower()): item["revision"] for item in made.job.spec["inputs"]}
    model, benchmark = made.statement.predicate.model, made.statement.predicate.benchmark
    plan = made.job.spec["recipe"]["evaluation"]
    wanted = plan.get("benchmark") or {}
    if benchmark.repo is None or benchmark.repo.lower() != str(wanted.get("repo", "")).lower():
        raise NotSigned(lazy("The record is of another benchmark than the job."))
    if wanted.get("task_id") not in (None, benchmark.task_id):
        raise NotSigned(lazy("The record is of another task than the job."))
    if benchmark.revision != given.get(("dataset", benchmark.repo.lower())):
        raise NotSigned(lazy("The record names another commit of the benchmark than the job."))
    commit = given.get(("model", made.repo.repo_name.lower()))
    if (
        commit is None
        or model.revision != commit
        or (model.repo or "").lower() != made.repo.repo_name.lower()
    ):
        raise NotSigned(lazy("The record names another model, or another commit of it, than the job."))
    wrong = wrong_file(rt, made.files, model.files, commit)
    if wrong or wrong is None or not model.files:
        raise NotSigned(lazy("The record's digest of %(file)s is not that of the model.", file=wrong or "–"))


def check_bundle(rt: Runtime, made: Made, bundle: Path, data: Path) -> None:
    """Samples, metrics, and every row against the benchmark's own files."""
    benchmark = made.statement.predicate.benchmark
    with rt.database.reading() as db:
        dataset = access_named(db, RepoType.DATASET, benchmark.repo or "")
    files = RevisionFiles(rt, git_path(rt, dataset), benchmark.revision or "HEAD")
    _copy_data(files, data)
    report = verify_bundle(bundle, [own_key(rt).public], data_dir=data)
    if not report.is_good:
        first = report.findings[0]
        raise NotSigned(f"{first.culprit}: {first.message}"[:500])


def copy_folder(files: RevisionFiles, folder: str, target: Path) -> None:
    target.mkdir(parents=True)
    for path in files.entries:
        head, _, name = path.rpartition("/")
        if head == folder and name not in (ENVELOPE_FILE, LOG_FILE):
            _copy(files, path, target / name)


def _copy_data(files: RevisionFiles, target: Path) -> None:
    """Files that may hold rows, at most MAX_DATA_BYTES together."""
    target.mkdir(parents=True)
    left = MAX_DATA_BYTES
    for number, (path, entry) in enumerate(files.entries.items()):
        if entry.type != "file" or not file_format(Path(path)) or entry.content_size > left:
            continue
        left -= entry.content_size
        _copy(files, path, target / f"{number}-{path.rpartition('/')[2]}")


def _copy(files: RevisionFiles, path: str, target: Path) -> None:
    reader, size = files.reader(path), files.entries[path].content_size
    if reader is None:
        raise RecordError(f"{path} is not here.", file=path)
    with target.open("wb") as out:
        for offset in range(0, size, _PIECE_BYTES):
            out.write(reader(offset, min(_PIECE_BYTES, size - offset)))
