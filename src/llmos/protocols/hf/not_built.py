"""Parts of the Hub protocol this version does not offer: a clear 501 instead of a riddle."""

from __future__ import annotations

from collections.abc import Callable

from llmos.core.errors import NotBuilt, NotFound
from llmos.features.auth.edge import ActorDep
from llmos.infra.web.lazy_routes import Router

router = Router(tags=["not built"], include_in_schema=False)

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_SPACE = "/api/spaces/{namespace:seg}/{name:seg}"

# What is missing -> its addresses.
PARTS: dict[str, tuple[str, ...]] = {
    "Papers": (
        "/api/papers/{rest:rest}",
        "/api/daily_papers",
    ),
    "Running Spaces": (
        *(f"{_SPACE}/{verb}" for verb in (
            "runtime", "secrets", "variables", "hardware", "sleeptime", "pause", "restart",
            "dev-mode", "volumes", "storage", "logs/{rest:rest}",
        )),
        "/api/spaces/hardware",
        "/api/spaces/zero-gpu/quota",
    ),
    "Resource groups": (
        "/api/organizations/{org:seg}/resource-groups",
        "/api/collections/{namespace:seg}/{slug:seg}/resource-group",
    ),
}  # fmt: skip


def _refusal(part: str) -> Callable[..., None]:
    def refuse(actor: ActorDep) -> None:
        raise NotBuilt(f"{part}: this is not part of this LLMOS version.")

    return refuse


for _part, _paths in PARTS.items():
    for _path in _paths:
        router.add_api_route(_path, _refusal(_part), methods=METHODS)


unknown = Router(include_in_schema=False)


def _no_such_address(actor: ActorDep) -> None:
    raise NotFound("There is no such API address: `/api/openapi.json` lists those there are.")


unknown.add_api_route("/api/{rest:rest}", _no_such_address, methods=METHODS)
