"""An endpoint to look at: asleep, with a week of use and an engine that has ended."""

from __future__ import annotations

from datetime import timedelta

from llmos.core import clock
from llmos.core.repo_types import RepoType
from llmos.features.accounts.policy import get_namespace
from llmos.features.endpoints.models import Endpoint, EndpointUsage, Replica
from llmos.features.endpoints.usage import EDGES_MS
from llmos.features.jobs.ending import end_job
from llmos.features.jobs.engines import add_engine_job
from llmos.features.repos.policy import get_repo
from llmos.infra.runtime import Runtime

NAME = "tiny"


def seed_endpoint(rt: Runtime) -> None:
    """`tiny` serves ada/tiny-llm to everybody."""
    with rt.database.writing() as db:
        ada, repo = get_namespace(db, "ada"), get_repo(db, RepoType.MODEL, "ada", "tiny-llm")
        assert ada is not None
        assert repo is not None
        endpoint = Endpoint(name=NAME, name_key=NAME, namespace_id=ada.id, creator_id=ada.id, repo_id=repo.id)
        endpoint.oid, endpoint.memory_bytes = repo.head_oid or "", 1_100_000_000
        endpoint.spec = {"engine": "transformers", "task": "text-generation", "file": ""}
        endpoint.last_called_at = clock.now() - timedelta(minutes=40)
        db.add(endpoint)
        db.flush()
        job = add_engine_job(
            db,
            namespace_id=ada.id,
            creator_id=ada.id,
            repo_name=repo.repo_name,
            revision=endpoint.oid,
            engine=endpoint.spec,
            memory_bytes=endpoint.memory_bytes,
        )
        end_job(db, job, "canceled", reason="")
        replica = Replica(endpoint_id=endpoint.id, job_id=job.id, oid=endpoint.oid, state="ended")
        replica.runner_name, replica.reason = "built-in", "Nobody called it for a while."
        db.add(replica)
        hour = clock.now().replace(minute=0, second=0, microsecond=0)
        for back in range(36, 0, -1):
            db.add(_used(endpoint.id, hour - timedelta(hours=back), 6 + 5 * (back % 7)))


def _used(endpoint_id: int, hour: object, calls: int) -> EndpointUsage:
    spread = [0] * (len(EDGES_MS) + 1)
    spread[5], spread[7], spread[8] = calls // 2, calls - calls // 2 - 1, 1
    first = [0] * (len(EDGES_MS) + 1)
    first[3], first[4] = calls - 1, 1
    row = EndpointUsage(endpoint_id=endpoint_id, hour=hour, calls=calls, latency=spread, first=first)
    row.prompt_tokens, row.completion_tokens = 40 * calls, 90 * calls
    return row
