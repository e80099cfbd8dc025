"""What trust is for: the levels, what they take and what they allow."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.discussions.forum_trust import level_of, list_steps
from llmos.infra.i18n import localize
from llmos.infra.web.deps import ReadDb


def trust_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    locale = request_locale(request, actor)
    steps = [
        {
            "level": step.level,
            "name": localize(step.name, locale),
            "takes": [localize(line, locale) for line in step.takes],
            "allows": [localize(line, locale) for line in step.allows],
        }
        for step in list_steps()
    ]
    mine = level_of(db, actor) if actor.user_id is not None and steps else None
    return render_page(request, actor, "forum/trust.html", {"steps": steps, "mine": mine})
