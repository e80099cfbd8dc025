"""A benchmark's items looked for in a data set, as a job whose finding is committed to the benchmark."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, Forbidden
from llmos.core.names import split_repo_name
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.evals.running import as_job
from llmos.features.jobs.models import Job
from llmos.features.jobs.requests import parse_request
from llmos.features.jobs.service import submit
from llmos.features.repos.models import Repo
from llmos.features.repos.places import open_git
from llmos.features.repos.policy import access_repo, can_write
from llmos.infra.git.revisions import resolve
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.wire.contamination_recipe import KEY

TIMEOUT_S = 3 * 3600


def check_recipe(
    benchmark: str, oid: str, data: str, data_oid: str, *, as_pull: bool = False
) -> dict[str, Any]:
    """The recipe of the job (`llmos.wire.contamination_recipe`)."""
    return {
        "version": 1,
        KEY: {
            "benchmark": {"repo": benchmark, "revision": oid},
            "data": {"repo": data, "revision": data_oid},
        },
        "push": {"repo": benchmark, "pull_request": as_pull},
    }


def start_check(
    db: Session, rt: Runtime, actor: Actor, namespace: Namespace, benchmark: Repo, data_name: str
) -> Job:
    """Queue the job. For who may write to the benchmark: what it finds changes its board.

    Raises Forbidden, BadRequest for a name that is none or is the benchmark's own, what `access_repo` says of
    a data set that is not there, and what `jobs.service.submit` raises.
    """
    if not can_write(actor, benchmark):
        raise Forbidden(lazy("Only who may write to the benchmark may have it checked."))
    with rt.database.reading() as look:
        data = access_repo(look, actor, RepoType.DATASET, *_names(data_name))
    if data.id == benchmark.id:
        raise BadRequest(lazy("Name a data set other than the benchmark."), data={"field": "data"})
    if data.is_private and not benchmark.is_private:
        raise BadRequest(
            lazy(
                "%(name)s is private: what is found in it would be for everybody to see.", name=data.repo_name
            ),
            data={"field": "data"},
        )
    recipe = check_recipe(
        benchmark.repo_name,
        resolve(open_git(rt, benchmark), "main"),
        data.repo_name,
        resolve(open_git(rt, data), "main"),
        # An admin who is no member of the owner merges it.
        as_pull=not can_write(as_job(actor), benchmark),
    )
    body = {
        "recipe": recipe,
        "labels": {"name": f"{benchmark.repo_name} · {data.repo_name}"[:200]},
        "timeoutSeconds": TIMEOUT_S,
        "public": not benchmark.is_private,
    }
    return submit(db, rt, actor, namespace, parse_request(body))


def _names(name: str) -> tuple[str, str]:
    if name.count("/") != 1:
        raise BadRequest(lazy("Name a data set as owner/name."), data={"field": "data"})
    return split_repo_name(name)
