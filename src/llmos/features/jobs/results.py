"""What a runner says it made, as the hub itself finds it in the commit."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pygit2
from pygit2.enums import DeltaStatus, FileMode
from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import LlmosError
from llmos.core.names import split_repo_name
from llmos.core.repo_types import RepoType
from llmos.core.results import EMPTY, MAX_STATEMENT_BYTES, MadeFile, digest_results
from llmos.features.jobs.models import Job, JobAttempt
from llmos.features.repos.places import open_git
from llmos.features.repos.policy import get_repo
from llmos.infra.git.blobs import iter_blob
from llmos.infra.git.commits import access_commit
from llmos.infra.git.pointers import MAX_POINTER_BYTES, parse_pointer
from llmos.infra.runtime import Runtime
from llmos.wire.jobs import OutputRevision

_COMMIT = re.compile(r"[0-9a-f]{40}")


def results_of(
    db: Session, rt: Runtime, job: Job, attempt: JobAttempt, outputs: list[OutputRevision]
) -> list[dict[str, Any]]:
    """The declared outputs among what a runner says it made; anything else is not believed.

    Where machines have to agree the hub looks for itself: the digest is of the commit, and a commit that
    another attempt brought agrees with nothing.
    """
    declared = {(item["type"], item["repo"].lower()) for item in job.spec.get("outputs", ())}
    found = [
        output.model_dump(mode="json") for output in outputs if (output.type, output.repo.lower()) in declared
    ]
    if job.quorum > 1 and not attempt.is_trusted:
        others = _commits_of_others(db, job, attempt)
        for item in found:
            is_copy = item["revision"] in others
            item["digest"] = EMPTY if is_copy else digest_commit(db, rt, item)
    return found


def _commits_of_others(db: Session, job: Job, attempt: JobAttempt) -> set[str]:
    statement = select(JobAttempt.results).where(
        JobAttempt.job_id == job.id, JobAttempt.number != attempt.number
    )
    return {item["revision"] for results in db.scalars(statement) for item in results}


def digest_commit(db: Session, rt: Runtime, made: dict[str, Any]) -> str:
    """The digest, as `core.results` makes it, of what a commit changed; EMPTY where there is none."""
    # A commit has one whole name: by another it could be passed off as somebody else's.
    if made["type"] == "bucket" or _COMMIT.fullmatch(made["revision"]) is None:
        return EMPTY
    try:
        repo = get_repo(db, RepoType(made["type"]), *split_repo_name(made["repo"]))
        if repo is None:
            return EMPTY
        git_repo = open_git(rt, repo)
        return digest_results(_changed(git_repo, access_commit(git_repo, made["revision"])))
    except LlmosError:
        return EMPTY


def _changed(git_repo: pygit2.Repository, commit: pygit2.Commit) -> Iterator[MadeFile]:
    """What the commit brought; a file that is gone, a link or a program counts under a name of its own."""
    if commit.parents:
        diff = commit.parents[0].tree.diff_to_tree(commit.tree)
    else:
        diff = commit.tree.diff_to_tree(swap=True)
    for delta in diff.deltas:
        path, oid = delta.new_file.path, str(delta.new_file.id)
        if delta.status == DeltaStatus.DELETED:
            yield MadeFile(f"deleted:{delta.old_file.path}", lambda: EMPTY, lambda: None)
        elif delta.new_file.mode != FileMode.BLOB:
            yield MadeFile(f"{delta.new_file.mode:o}:{path}", partial(str, oid), lambda: None)
        else:
            yield MadeFile(path, partial(_sha256, git_repo, oid), partial(_read, git_repo, oid))


def _sha256(git_repo: pygit2.Repository, oid: str) -> str:
    if (data := _read(git_repo, oid, MAX_POINTER_BYTES)) and (pointer := parse_pointer(data)):
        return pointer.oid
    found = hashlib.sha256()
    for piece in iter_blob(git_repo, oid):
        found.update(piece)
    return found.hexdigest()


def _read(git_repo: pygit2.Repository, oid: str, limit_bytes: int = MAX_STATEMENT_BYTES) -> bytes | None:
    data = b"".join(iter_blob(git_repo, oid, length=limit_bytes + 1))
    return data if len(data) <= limit_bytes else None
