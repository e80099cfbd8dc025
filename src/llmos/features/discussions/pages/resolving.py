"""Settling the conflicts of a pull request, file by file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from llmos.core.errors import Forbidden, LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.discussions.conflicts import (
    ConflictSides,
    Resolution,
    Take,
    list_conflict_sides,
    resolve_conflicts,
)
from llmos.features.discussions.pages.comment_pages import sign_in_first
from llmos.features.discussions.pages.spots import pull_spot, repo_of, thread_head
from llmos.features.discussions.pages.thread_parts import Spot
from llmos.features.discussions.policy import can_merge
from llmos.features.discussions.pull_state import read_pull_state
from llmos.features.repos.pages.routes import RepoRoutes
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep

routes = RepoRoutes()
MAX_FILES = 100
_SIDES = ("pull", "base")


@routes.get("/discussions/{num:int}/conflicts")
def conflicts_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    spot = pull_spot(request, rt, db, actor)
    if actor.user_id is None:
        return redirect_to_login(request)
    if spot.thread.author_id != actor.user_id and not can_merge(actor, spot.thread):
        raise Forbidden(lazy("Only the author of the pull request and maintainers may do this."))
    return _render(request, rt, db, actor, spot, {})


def _render(
    request: Request,
    rt: Runtime,
    db: Session,
    actor: Actor,
    spot: Spot,
    kept: Mapping[str, tuple[str, str]],
    refusal: LlmosError | None = None,
) -> Response:
    """`kept`: by path the choice and the text that were sent."""
    locale = request_locale(request, actor)
    state = read_pull_state(rt, repo_of(spot), spot.thread)
    sides = list_conflict_sides(rt, repo_of(spot), state)[:MAX_FILES]
    context: dict[str, Any] = {
        **spot.shell(locale),
        "head": thread_head(db, actor, spot, locale),
        "state": state,
        "files": [_file(side, state.base_name, *kept.get(side.path, ("", ""))) for side in sides],
        "error": refusal.message if refusal else "",
    }
    status = refusal.status if refusal else 200
    return render_page(request, actor, "discussions/conflicts.html", context, status=status)


def _file(side: ConflictSides, base_name: str, take: str, text: str) -> dict[str, Any]:
    # Both ends of a conflict carry the file's name: whose they are says more.
    merged = (side.merged or "").replace(f"<<<<<<< {side.path}\n", "<<<<<<< this pull request\n")
    merged = merged.replace(f">>>>>>> {side.path}\n", f">>>>>>> {base_name}\n")
    return {
        "path": side.path,
        "pull": side.pull,
        "base": side.base,
        "ancestor": side.ancestor,
        "is_text": side.is_text,
        "is_in_pull": side.is_in_pull,
        "is_in_base": side.is_in_base,
        "take": take or ("text" if side.is_text else ""),
        "text": text or merged,
    }


@routes.post("/discussions/{num:int}/conflicts")
def post_conflicts(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, form: PageForm) -> Response:
    """For file `n` of the form: `path-n`, `take-n` (pull, base or text) and `text-n`."""
    spot = pull_spot(request, rt, db, actor)
    if actor.user_id is None:
        return sign_in_first(request, spot)
    kept = {
        form.text(f"path-{n}", strip=False): (form.text(f"take-{n}"), form.text(f"text-{n}", strip=False))
        for n in range(1, MAX_FILES + 1)
        if form.has(f"path-{n}")
    }
    chosen: dict[str, Resolution] = {
        path: Take(take) if take in _SIDES else text.replace("\r\n", "\n")
        for path, (take, text) in kept.items()
        if take in (*_SIDES, "text")
    }
    thread_id, href = spot.thread.id, spot.href
    db.close()
    try:
        resolve_conflicts(rt, actor, thread_id, chosen, head_oid=form.text("head") or None)
    except LlmosError as refusal:
        if isinstance(refusal, Forbidden):
            raise
        with rt.database.reading() as look:
            return _render(request, rt, look, actor, pull_spot(request, rt, look, actor), kept, refusal)
    return redirect_page(request, href, lazy("The conflicts are settled."))
