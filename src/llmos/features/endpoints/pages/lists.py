"""The list of endpoints."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page
from llmos.features.endpoints.pages.views import endpoint_row
from llmos.features.endpoints.queries import list_endpoints, live_replicas
from llmos.infra.web.deps import ReadDb, RuntimeDep


def list_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """Models that answer and that the viewer may call: endpoints, and what is served on demand."""
    found = list_endpoints(db, actor)
    replicas = live_replicas(db, [one.id for one in found])
    rows = [endpoint_row(one, replicas.get(one.id, [])) for one in found if one.name or replicas.get(one.id)]
    context = {
        "rows": rows,
        "new_href": "/endpoints/-/new" if actor.user_id is not None else None,
        "is_on_demand": rt.settings.serve_on_demand,
    }
    return render_page(request, actor, "endpoints/list.html", context)
