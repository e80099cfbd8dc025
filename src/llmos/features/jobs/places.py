"""From the names in a request to repositories at fixed commits, looked at with the asker's rights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.errors import LlmosError, NotFound, RepoNotFound
from llmos.core.names import split_repo_name
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import ANONYMOUS, Actor
from llmos.features.buckets import policy as bucket_policy
from llmos.features.buckets.models import Bucket
from llmos.features.buckets.policy import access_bucket
from llmos.features.jobs.requests import OutputRequest, VolumeRequest
from llmos.features.repos.lifecycle import create_repo
from llmos.features.repos.models import Repo
from llmos.features.repos.places import open_git
from llmos.features.repos.policy import access_repo, check_content, check_write
from llmos.infra.git.revisions import resolve
from llmos.infra.runtime import Runtime
from llmos.wire.jobs import JobInput, JobOutput


def access_place(db: Session, actor: Actor, kind: str, name: str) -> Repo | Bucket:
    """The repository or bucket an input or output names. Raises what their own doors raise."""
    namespace, short = split_repo_name(name)
    if kind == "bucket":
        return access_bucket(db, actor, namespace, short)
    return access_repo(db, actor, RepoType(kind), namespace, short)


def resolve_inputs(
    db: Session, rt: Runtime, actor: Actor, volumes: Sequence[VolumeRequest]
) -> list[JobInput]:
    """The volumes at the commits they have now. Raises RepoNotFound, GatedRepo, RevisionNotFound,
    and Forbidden for a bucket to be written that the actor may only read."""
    found = []
    for volume in volumes:
        place = access_place(db, actor, volume.type, volume.source)
        revision = None
        if isinstance(place, Bucket):
            if not volume.read_only:
                bucket_policy.check_write(actor, place)
        else:
            check_content(db, actor, place)
            revision = resolve(open_git(rt, place), volume.revision or "main")
        found.append(
            JobInput(
                type=volume.type,
                repo=volume.source,
                revision=revision,
                path=volume.mount_path,
                sub_path=volume.sub_path,
                read_only=volume.read_only,
            )
        )
    return found


def missing_outputs(db: Session, actor: Actor, outputs: Sequence[OutputRequest]) -> list[OutputRequest]:
    """The outputs that have no repository yet.

    Raises Forbidden for one the actor may not write to; a pull request needs no more than to read.
    """
    missing = []
    for output in outputs:
        try:
            place = access_place(db, actor, output.type, output.repo)
        except RepoNotFound:
            if output.type == "bucket":
                raise
            missing.append(output)
            continue
        if isinstance(place, Bucket):
            bucket_policy.check_write(actor, place)
        elif output.pull_request:
            check_content(db, actor, place)
        else:
            check_write(actor, place)
    return missing


def create_outputs(
    db: Session, rt: Runtime, actor: Actor, outputs: Iterable[OutputRequest], visibility: str | None
) -> None:
    """Make the repositories that are missing, so that the job's token can be limited to them."""
    for output in outputs:
        create_repo(db, actor, rt, name=output.repo, repo_type=RepoType(output.type), visibility=visibility)


# Where inputs of a job for machines nobody vouches for may lie: far from every program.
_DATA_FOLDERS = ("inputs", "data")


def is_only_data(kind: str, spec: Mapping[str, Any]) -> bool:
    """Whether a machine that runs this job runs nothing but its own training side: a recipe, with no
    variables or secrets of the job's own, and inputs where no program is looked for."""
    if kind != "recipe" or spec.get("environment") or spec.get("secret_names"):
        return False
    return all(str(item["path"]).split("/")[1] in _DATA_FOLDERS for item in spec.get("inputs", ()))


def is_all_public(db: Session, places: Iterable[JobInput | JobOutput]) -> bool:
    """Whether anybody could read all of these, without an account; a bucket never counts."""
    for item in places:
        if item.type == "bucket":
            return False
        try:
            place = access_place(db, ANONYMOUS, item.type, item.repo)
            if isinstance(place, Repo):
                check_content(db, ANONYMOUS, place)
        except (NotFound, LlmosError):
            return False
    return True
