"""`/moderation/act`: measures without a report, and the tools of a case: hide, lock, move, split, merge,
sanction. Each goes to the log, where one click undoes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest, Conflict, Forbidden, NotFound
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
    safe_next,
)
from llmos.features.discussions.categories import access_category
from llmos.features.discussions.models import Thread
from llmos.features.moderation import measures, queries
from llmos.features.moderation.models import Measure, Standing
from llmos.features.moderation.pages.case import category_options, record_context
from llmos.features.moderation.pages.common import (
    QUEUE,
    day_options,
    measure_notes,
    person_of,
    read_days,
    sanction_options,
    subject_context,
)
from llmos.features.moderation.power import can_judge
from llmos.features.moderation.sanctions import impose
from llmos.features.moderation.standing import is_moderator
from llmos.features.moderation.subjects import Subject, access_for_judge, get_subject
from llmos.features.moderation.wording import KIND_ICONS, KIND_LABELS
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.forms import Form
from llmos.infra.web.lazy_routes import Router
from llmos.ui.filters import with_query

router = Router(include_in_schema=False)
ACT = QUEUE + "/act"


def _access(db: Session, actor: Actor, kind: str, key: str) -> Subject:
    """The thing, for those who may judge it; for everybody else there is none (NotFound)."""
    missing = NotFound(lazy("There is nothing here that you may judge."))
    if kind not in KIND_LABELS or "\0" in key or len(key) > 250:
        raise missing
    subject = access_for_judge(db, actor, kind, key)
    if not can_judge(db, actor, subject):
        raise missing
    return subject


@router.get(ACT)
def get_act(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """`kind` and `key` as `subjects.access_subject` takes them."""
    if actor.is_anonymous:
        return redirect_to_login(request)
    kind, key = request.query_params.get("kind", ""), request.query_params.get("key", "").strip()
    # Held here, or the session would forget it and read it again for each question of power.
    _own = db.get(Standing, actor.user_id or 0)
    subject = _access(db, actor, kind, key)
    locale = request_locale(request, actor)
    owner = db.get(User, subject.owner_id) if subject.owner_id is not None else None
    is_site = is_moderator(db, actor)
    near = queries.list_measures_near(db, subject.kind, subject.id, subject.owner_id)
    context: dict[str, Any] = {
        "kind_label": KIND_LABELS[subject.kind],
        "kind_icon": KIND_ICONS[subject.kind],
        "owner": person_of(owner),
        "record": record_context(db, owner, locale),
        "measures": measure_notes(near),
        "here": with_query(ACT, {"kind": kind, "key": key}),
        "may_sanction": is_site and owner is not None and owner.id != actor.user_id and not owner.is_admin,
        "sanctions": sanction_options(locale)[1:],
        "days": day_options(locale),
    }
    context |= subject_context(db, subject, None, locale)
    context["categories"] = category_options(db, locale) if context["is_topic"] else []
    return render_page(request, actor, "moderation/act.html", context)


@router.post(ACT)
def post_act(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Fields: `kind`, `key`, `action` (hide, show, lock, unlock, move, split, merge, sanction), `next`, and
    those of the action: `reason`, `category`, `comments` and `title`, `target`, `sanction` and `days`."""
    if actor.is_anonymous:
        return redirect_to_login(request)
    back = safe_next(form.text("next"), QUEUE)
    try:
        with rt.database.writing() as db:
            subject = _access(db, actor, form.text("kind"), form.text("key"))
            _act(db, actor, subject, form)
    except (BadRequest, Conflict, Forbidden) as error:
        return redirect_page(request, back, error.message, "danger")
    return redirect_page(request, back, lazy("Done. The log has it, and can undo it."))


def _act(db: Session, actor: Actor, subject: Subject, form: Form) -> Measure:
    take = _ACTIONS.get(form.text("action"))
    if take is None:
        raise BadRequest(lazy("There is no measure of that name."))
    return take(db, actor, subject, form)


def _move(db: Session, actor: Actor, subject: Subject, form: Form) -> Measure:
    return measures.move(db, actor, subject, access_category(db, form.text("category")))


def _split(db: Session, actor: Actor, subject: Subject, form: Form) -> Measure:
    chosen = [int(text) for text in form.texts("comments") if text.isascii() and text.isdecimal()]
    return measures.split(db, actor, subject, [each for each in chosen if each < 2**31], form.text("title"))


def _merge(db: Session, actor: Actor, subject: Subject, form: Form) -> Measure:
    return measures.merge(db, actor, subject, _target(db, subject, form.text("target")))


def _sanction(db: Session, actor: Actor, subject: Subject, form: Form) -> Measure:
    user = db.get(User, subject.owner_id) if subject.owner_id is not None else None
    if user is None:
        raise Conflict(lazy("The account of the author has been deleted."))
    days = read_days(form.text("days"))
    return impose(db, actor, user, form.text("sanction"), form.text("reason"), days=days)


_ACTIONS: dict[str, Callable[[Session, Actor, Subject, Form], Measure]] = {
    "hide": lambda db, actor, subject, form: measures.hide(db, actor, subject, form.text("reason")),
    "show": lambda db, actor, subject, form: measures.show(db, actor, subject, form.text("reason")),
    "lock": lambda db, actor, subject, form: measures.lock(db, actor, subject, form.text("reason")),
    "unlock": lambda db, actor, subject, form: measures.lock(
        db, actor, subject, form.text("reason"), is_locked=False
    ),
    "move": _move,
    "split": _split,
    "merge": _merge,
    "sanction": _sanction,
}


def _target(db: Session, subject: Subject, text: str) -> Subject:
    """The thread of the same place with this number (`12` or `#12`)."""
    number = text.removeprefix("#")
    thread_id = None
    if subject.thread is not None and number.isascii() and number.isdecimal() and len(number) < 10:
        place = (
            Thread.repo_id == subject.thread.repo_id if subject.thread.repo_id else Thread.repo_id.is_(None)
        )
        thread_id = db.scalar(select(Thread.id).where(place, Thread.num == int(number)))
    found = get_subject(db, "thread", thread_id) if thread_id is not None else None
    if found is None:
        raise BadRequest(lazy("There is no thread with this number in the same place."))
    return found
