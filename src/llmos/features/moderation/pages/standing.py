"""`/moderation/standing`: one's own trust level, what was done and why, and appeals against it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest, Conflict, LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.moderation import queries, sanctions
from llmos.features.moderation.appeals import MAX_TEXT_CHARS, file_appeal
from llmos.features.moderation.flags import REASONS
from llmos.features.moderation.models import WARN, Measure, Sanction, Standing
from llmos.features.moderation.pages.common import measure_row
from llmos.features.moderation.standing import LEADER, NAMES, REQUIREMENTS, Progress, measure_progress
from llmos.features.moderation.wording import BY_REPORTS
from llmos.infra.i18n import LazyString, lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router

router = Router(include_in_schema=False)
STANDING = "/moderation/standing"
_NEEDS: dict[str, LazyString] = {
    "days": lazy("Days since you joined"),
    "posts": lazy("Posts (a repository counts as three)"),
    "threads": lazy("Threads you wrote in"),
    "reactions_received": lazy("Reactions you were given"),
    "reactions_given": lazy("Reactions you gave"),
    "answers": lazy("Answers of yours that were accepted"),
}


@router.get(STANDING)
def get_standing(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    if actor.user_id is None:
        return redirect_to_login(request)
    return _page(request, db, actor, actor.user_id)


def _page(
    request: Request,
    db: Session,
    actor: Actor,
    user_id: int,
    *,
    failed_id: int = 0,
    typed: str = "",
    error: LlmosError | None = None,
) -> Response:
    row = db.get(Standing, user_id)
    progress = measure_progress(db, [user_id])[user_id]
    keeps = actor.is_admin or (row is not None and row.is_moderator)
    level = LEADER if keeps else row.level if row is not None else 0
    against = queries.list_measures_against(db, user_id)
    labels = queries.label_subjects(db, [measure for measure, _appeal in against])
    locale = request_locale(request, actor)
    context: dict[str, Any] = {
        "level": level,
        "names": NAMES,
        "is_fixed": bool(row is not None and row.is_fixed and not keeps),
        "keeps_order": keeps and not actor.is_suspended,
        "needs": _needs(level, progress),
        "max_upheld": REQUIREMENTS[level].max_upheld if level < len(REQUIREMENTS) else 0,
        "upheld_cases": progress.upheld_cases,
        "in_force": [_sanction(each) for each in sanctions.in_force(db, user_id)],
        "measures": [
            measure_row(measure, labels)
            | {
                "appeal": appeal,
                "can_appeal": _can_appeal(measure) and appeal is None,
                "typed": typed if measure.id == failed_id else "",
                "error": error.message if error is not None and measure.id == failed_id else "",
            }
            for measure, appeal in against
        ],
        "reports": [
            {
                "title": case.title,
                "href": case.href if case.outcome != "upheld" and case.hidden_at is None else None,
                "reason": REASONS[flag.reason],
                "at": flag.created_at,
                "outcome": case.outcome,
            }
            for flag, case in queries.list_reports_by(db, user_id)
        ],
        "max_chars": MAX_TEXT_CHARS,
        "locale_name": locale,
        "error": error.message if error is not None and not failed_id else "",
    }
    status = error.status if error is not None else 200
    return render_page(request, actor, "moderation/standing.html", context, status=status)


def _needs(level: int, progress: Progress) -> list[dict[str, Any]]:
    """What the next level takes; nothing above the last that can be earned."""
    if level >= len(REQUIREMENTS):
        return []
    wanted, done = asdict(REQUIREMENTS[level]), asdict(progress)
    return [
        {"label": label, "have": done[key], "need": wanted[key], "is_met": done[key] >= wanted[key]}
        for key, label in _NEEDS.items()
        if wanted[key]
    ]


def _sanction(row: Sanction) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "is_warning": row.kind == WARN,
        "reason": "" if row.reason == BY_REPORTS else row.reason,
        "imposed_at": row.imposed_at,
        "ends_at": row.ends_at,
        "is_seen": row.seen_at is not None,
    }


def _can_appeal(measure: Measure) -> bool:
    return measure.undone_at is None and measure.verb not in ("show", "unlock")


@router.post(STANDING)
def post_standing(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Fields: `action` appeal (`measure`, `text`) or seen (`sanction`). Suspended people may."""
    if actor.user_id is None:
        return redirect_to_login(request)
    if form.text("action") == "seen":
        with rt.database.writing() as db:
            user = db.get_one(User, actor.user_id)
            sanctions.note_read(db, user, _number(form.text("sanction")))
        return redirect_page(request, STANDING)
    measure_id, text = _number(form.text("measure")), form.text("text")
    try:
        with rt.database.writing() as db:
            file_appeal(db, actor, measure_id, text)
    except (BadRequest, Conflict) as error:
        with rt.database.reading() as db:
            return _page(request, db, actor, actor.user_id, failed_id=measure_id, typed=text, error=error)
    message = lazy("Your appeal is with the moderators. The answer comes here.")
    return redirect_page(request, f"{STANDING}#measure-{measure_id}", message)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
