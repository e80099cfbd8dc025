"""Our own calls about evaluation: start one, fetch a record, watch the log."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import Depends, Request
from starlette.responses import Response

from llmos.core.errors import BadRequest, NotFound
from llmos.core.repo_types import RepoType
from llmos.features.accounts.models import Namespace
from llmos.features.auth.edge import ActorDep
from llmos.features.evals.boards import list_tasks
from llmos.features.evals.log import get_entry, prove, prove_growth, tree_head
from llmos.features.evals.models import Benchmark
from llmos.features.evals.queries import access_result
from llmos.features.evals.running import start_evaluations
from llmos.features.jobs.policy import access_owner
from llmos.features.repos.policy import access_repo, check_content
from llmos.infra.i18n import lazy
from llmos.infra.web.bodies import read_body
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router

router = Router(tags=["evaluation"])
MAX_BODY_BYTES = 64 * 1024


def json_answer(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


async def _body(request: Request, actor: ActorDep) -> dict[str, Any]:
    actor.require_user()
    data = await read_body(request.receive, limit_bytes=MAX_BODY_BYTES)
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadRequest(lazy("The body is no JSON.")) from error
    if not isinstance(value, dict):
        raise BadRequest(lazy("The body must be a JSON object."))
    return value


@router.get("/api/evaluation/records/{record_id:seg}")
def get_record(rt: RuntimeDep, db: ReadDb, actor: ActorDep, record_id: str) -> Response:
    """A signed record: its envelope (DSSE), and the proof that it is in the log as it is now."""
    result, repo = access_result(db, actor, record_id)
    entry = get_entry(db, record_id)
    if entry is None:
        raise NotFound(lazy("This result is not signed: there is no record of it."))
    return json_answer(
        {
            "recordId": record_id,
            "model": repo.repo_name,
            "signedBy": entry.signer_name or None,
            "keyid": entry.keyid,
            "confirmations": result.confirmations,
            "envelope": entry.envelope,
            "log": prove(db, rt, entry).model_dump(mode="json"),
        }
    )


@router.get("/api/evaluation/log")
def get_log(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """The signed head of the log; with `first`, the proof that a log of that size is its beginning."""
    answer: dict[str, Any] = {"treeHead": tree_head(db, rt).model_dump(mode="json")}
    first = request.query_params.get("first")
    if first is not None:
        if not first.isdecimal() or len(first) > 12:
            raise BadRequest(lazy("first must be a size this log has had."))
        answer["consistency"] = prove_growth(db, int(first))
    return json_answer(answer)


@router.post("/api/models/{ns:seg}/{name:seg}/evaluations")
def post_evaluations(
    *,
    rt: RuntimeDep,
    db: WriteDb,
    actor: ActorDep,
    ns: str,
    name: str,
    body: Annotated[dict[str, Any], Depends(_body)],
) -> Response:
    """Queue evaluations of a model: `benchmarks` ([{dataset, task?}]), `owner`, `revision`, `limit`,
    `flavor`."""
    with rt.database.reading() as look:
        model = access_repo(look, actor, RepoType.MODEL, ns, name)
        check_content(look, actor, model)
        owner: Namespace = access_owner(look, actor, str(body.get("owner") or actor.name))
        wanted = [task for item in _listed(body) for task in _tasks(look, actor, item)]
    limit = body.get("limit")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise BadRequest(lazy("limit must be a number of samples from 1 on."), data={"field": "limit"})
    jobs = start_evaluations(
        db,
        rt,
        actor,
        owner,
        model,
        wanted,
        revision=str(body.get("revision") or "main"),
        limit=limit,
        **({"flavor": str(body["flavor"])} if body.get("flavor") else {}),
    )
    return json_answer({"jobs": [{"id": job.object_id, "owner": owner.name} for job in jobs]}, 201)


def _listed(body: dict[str, Any]) -> list[dict[str, Any]]:
    found = body.get("benchmarks")
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise BadRequest(
            lazy("benchmarks must be a list of objects with dataset and task."), data={"field": "benchmarks"}
        )
    return found


def _tasks(db: ReadDb, actor: ActorDep, item: dict[str, Any]) -> list[Benchmark]:
    namespace, _, name = str(item.get("dataset") or "").partition("/")
    dataset = access_repo(db, actor, RepoType.DATASET, namespace, name)
    tasks = list_tasks(db, dataset.id)
    task = item.get("task")
    chosen = [one for one in tasks if task in (None, one.task_id)]
    if not chosen:
        raise BadRequest(
            lazy("%(name)s has no such task.", name=dataset.repo_name), data={"field": "benchmarks"}
        )
    return chosen
