"""`/moderation/cases/{id}`: one case with all one needs to judge it, and the judgement."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest, Conflict, Forbidden, LlmosError
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
from llmos.features.discussions.categories import list_categories
from llmos.features.moderation import measures, queries
from llmos.features.moderation.cases import access_case, judge, reopen
from llmos.features.moderation.flags import REASONS
from llmos.features.moderation.models import OPEN, REJECTED, UPHELD, Case, Standing
from llmos.features.moderation.pages.common import (
    QUEUE,
    day_options,
    measure_notes,
    person_of,
    read_days,
    sanction_options,
    subject_context,
)
from llmos.features.moderation.sanctions import check_reason, impose
from llmos.features.moderation.standing import NAMES, is_moderator
from llmos.features.moderation.subjects import COMMENT, THREAD, Subject
from llmos.features.moderation.wording import KIND_ICONS, KIND_LABELS
from llmos.infra.i18n import Locale, lazy, localize, translator
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.forms import Form
from llmos.infra.web.lazy_routes import Router
from llmos.ui.views import Option

router = Router(include_in_schema=False)
DECISIONS = {"hide": (UPHELD, True), "keep": (UPHELD, False), "reject": (REJECTED, False)}


@router.get(QUEUE + "/cases/{case_id:int}")
def get_case(request: Request, db: ReadDb, actor: ActorDep, case_id: int) -> Response:
    if actor.is_anonymous:
        return redirect_to_login(request)
    return _page(request, db, actor, case_id)


def _page(
    request: Request,
    db: Session,
    actor: Actor,
    case_id: int,
    typed: dict[str, str] | None = None,
    error: LlmosError | None = None,
) -> Response:
    # Held here, or the session would forget it and read it again for each question of power.
    _own = db.get(Standing, actor.user_id or 0)
    case, subject = access_case(db, actor, case_id)
    locale = request_locale(request, actor)
    is_site = is_moderator(db, actor)
    owner = case.owner
    near = queries.list_measures_near(db, case.subject_kind, case.subject_id, case.owner_id)
    context: dict[str, Any] = {
        "case": case,
        "kind_label": KIND_LABELS[case.subject_kind],
        "kind_icon": KIND_ICONS[case.subject_kind],
        "flags": [
            {
                "reason": REASONS[flag.reason],
                "note": flag.note,
                # Maintainers judge what was said, not who reported it.
                "reporter": person_of(flag.reporter) if is_site else None,
                "weight": f"{flag.weight:.1f}",
                "at": flag.created_at,
            }
            for flag in queries.list_flags(db, case)
        ],
        "is_site": is_site,
        "owner": person_of(owner),
        "record": record_context(db, owner, locale),
        "measures": measure_notes(near),
        "here": f"{QUEUE}/cases/{case.id}",
        "may_sanction": is_site and owner is not None and owner.id != actor.user_id and not owner.is_admin,
        "decisions": _decisions(case, subject, locale),
        "sanctions": sanction_options(locale),
        "days": day_options(locale),
        "typed": typed or {"decision": "", "reason": "", "sanction": "", "days": "7", "lock": ""},
        "error": error.message if error is not None else "",
        "subject": None,
        "is_thread": case.subject_kind in (COMMENT, THREAD),
    }
    if subject is not None:
        context |= subject_context(db, subject, case.excerpt, locale)
        context["categories"] = category_options(db, locale) if context["is_topic"] else []
    status = error.status if error is not None else 200
    return render_page(request, actor, "moderation/case.html", context, status=status)


def record_context(db: Session, owner: User | None, locale: Locale) -> dict[str, Any] | None:
    """What a moderator weighs of somebody's past."""
    if owner is None:
        return None
    record = queries.read_record(db, owner.id)
    return {
        "level": record.level,
        "level_name": localize(NAMES[record.level], locale),
        "is_moderator": record.is_moderator,
        "since": owner.namespace.created_at,
        "posts": record.posts,
        "upheld": record.upheld,
        "rejected": record.rejected,
        "sanction": owner.sanction if owner.is_sanctioned("suspend", "ban") else None,
        "until": owner.sanctioned_until,
    }


def category_options(db: Session, locale: Locale) -> list[Option]:
    return [
        Option(item.slug, item.name_zh if locale == "zh" else item.name_en) for item in list_categories(db)
    ]


def _decisions(case: Case, subject: Subject | None, locale: Locale) -> list[Option]:
    _ = translator(locale).gettext
    found = [
        Option(
            "hide",
            _("Right to report: hide it"),
            _("Only its author and moderators still see it."),
            "eye-off",
        )
    ]
    if subject is None or case.subject_kind not in (COMMENT, THREAD):
        found = []
    return [
        *found,
        Option(
            "keep",
            _("Right to report, but leave it in sight"),
            _("The reporters' record counts it."),
            "check",
        ),
        Option(
            "reject",
            _("Nothing wrong with it"),
            _("It comes back if reports had hidden it."),
            "undo-2",
        ),
    ]


@router.post(QUEUE + "/cases/{case_id:int}")
def post_case(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm, case_id: int) -> Response:
    """Fields: `action` judge or reopen; `decision` hide, keep or reject, `reason`, `lock`,
    `sanction`, `days`.

    A refusal shows the page again with what was typed.
    """
    if actor.is_anonymous:
        return redirect_to_login(request)
    typed = {name: form.text(name) for name in ("decision", "reason", "sanction", "days", "lock")}
    try:
        back = _judge(rt, actor, form, case_id, typed)
    except (BadRequest, Conflict, Forbidden) as error:
        with rt.database.reading() as db:
            return _page(request, db, actor, case_id, typed, error)
    message = (
        lazy("The case is open again.") if form.text("action") == "reopen" else lazy("The case is judged.")
    )
    return redirect_page(request, back, message)


def _judge(rt: Runtime, actor: Actor, form: Form, case_id: int, typed: dict[str, str]) -> str:
    """One transaction for all that was chosen; the address to go on with."""
    here = f"{QUEUE}/cases/{case_id}"
    with rt.database.writing() as db:
        if form.text("action") == "reopen":
            reopen(db, actor, case_id)
            return here
        case, subject = access_case(db, actor, case_id)
        if case.state != OPEN:
            raise Conflict(lazy("Somebody else has judged this case meanwhile."))
        if typed["decision"] not in DECISIONS:
            raise BadRequest(lazy("Choose a decision."), data={"field": "decision"})
        outcome, hides = DECISIONS[typed["decision"]]
        reason = typed["reason"]
        if hides or typed["sanction"]:
            check_reason(reason)
        judge(db, actor, case_id, outcome, note=reason, hides=hides)
        if typed["lock"] and subject is not None:
            measures.lock(db, actor, subject, reason)
        if typed["sanction"]:
            if case.owner is None:
                raise Conflict(lazy("The account of the author has been deleted."))
            days = read_days(typed["days"])
            impose(db, actor, case.owner, typed["sanction"], reason, days=days, case_id=case.id)
        return QUEUE if is_moderator(db, actor) else here
