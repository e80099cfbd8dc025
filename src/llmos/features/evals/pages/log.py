"""The transparency log, the key of the instance, and the instances it trusts."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from sqlalchemy import select
from starlette.responses import PlainTextResponse, Response

from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, redirect_page, render_page
from llmos.features.evals.instances import add_instance, delete_instance, list_instances, own_key
from llmos.features.evals.log import count_entries, tree_head
from llmos.features.evals.models import LogEntry
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.urls import base_url
from llmos.ui.filters import with_query

PAGE_SIZE = 50


def log_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """The newest entries first; `before` pages back. Entries name no model: some may be private."""
    size = count_entries(db)
    text = request.query_params.get("before", "")
    before = min(int(text), size) if text.isdecimal() and len(text) < 12 else size
    statement = select(LogEntry.leaf_index, LogEntry.record_id, LogEntry.leaf_hash, LogEntry.created_at)
    statement = statement.where(LogEntry.leaf_index < before).order_by(LogEntry.leaf_index.desc())
    rows = db.execute(statement.limit(PAGE_SIZE)).all()
    context: dict[str, Any] = {
        "head": tree_head(db, rt),
        "rows": [
            {
                "index": row[0],
                "href": f"/benchmarks/records/{row[1]}",
                "record": row[1],
                "leaf": row[2],
                "at": row[3],
            }
            for row in rows
        ],
        "next_href": with_query("/benchmarks/log", {"before": rows[-1][0]}) if rows and rows[-1][0] else None,
        "api_url": f"{base_url(request, rt.settings)}/api/evaluation/log",
    }
    return render_page(request, actor, "evals/log.html", context)


def key_file(rt: RuntimeDep, actor: ActorDep) -> Response:
    """The public key records of this instance are checked with."""
    pem = own_key(rt).public.to_pem()
    return PlainTextResponse(pem, headers={"Content-Disposition": 'inline; filename="instance-key.pem"'})


def instances_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """Whose signatures count here; admins change it."""
    return _render(request, rt, db, actor, {})


def _render(
    request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, values: dict[str, str], error: str = ""
) -> Response:
    key = own_key(rt).public
    context: dict[str, Any] = {
        "own": {"keyid": key.keyid, "pem": key.to_pem()},
        "instances": list_instances(db),
        "values": values,
        "error": error,
    }
    return render_page(request, actor, "evals/instances.html", context, status=400 if error else 200)


def post_instances(
    request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm
) -> Response:
    """Add an instance, or remove the one that `remove` names."""
    remove = form.text("remove")
    if remove:
        delete_instance(db, actor, int(remove) if remove.isdecimal() and len(remove) < 10 else 0)
        return redirect_page(request, "/benchmarks/instances", lazy("The instance is no longer trusted."))
    add_instance(db, actor, form.text("name"), form.text("url"), form.text("public_key", strip=False))
    return redirect_page(request, "/benchmarks/instances", lazy("Records it has signed count from now on."))
