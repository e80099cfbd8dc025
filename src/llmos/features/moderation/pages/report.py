"""`/-/report`: tell those who keep order about a thing; as a page, and as a dialog of another page."""

from __future__ import annotations

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest, Conflict, LlmosError, TooManyRequests
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
    safe_next,
)
from llmos.features.moderation.flags import MAX_NOTE_CHARS, REASONS, file_flag
from llmos.features.moderation.subjects import Subject, access_subject
from llmos.features.moderation.wording import KIND_ICONS, KIND_LABELS
from llmos.infra.i18n import lazy, localize
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.ui.views import Option

router = Router(include_in_schema=False)
REPORT = "/-/report"


def _page(
    request: Request,
    actor: Actor,
    subject: Subject,
    key: str,
    *,
    reason: str = "",
    note: str = "",
    error: LlmosError | None = None,
) -> Response:
    locale = request_locale(request, actor)
    is_part = request.headers.get("hx-request") == "true"
    context = {
        "kind": subject.kind,
        "kind_label": KIND_LABELS[subject.kind],
        "icon_name": KIND_ICONS[subject.kind],
        "key": key,
        "title": subject.title,
        "is_own": subject.owner_id is not None and subject.owner_id == actor.user_id,
        "reasons": [Option(value, localize(label, locale)) for value, label in REASONS.items()],
        "reason": reason,
        "note": note,
        "max_note": MAX_NOTE_CHARS,
        "next": safe_next(request.query_params.get("next"), subject.href),
        "error": error.message if error is not None else "",
    }
    template = "moderation/report_part.html" if is_part else "moderation/report.html"
    return render_page(request, actor, template, context, status=error.status if error else 200)


@router.get(REPORT)
def get_report(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """`kind` and `key` as `subjects.access_subject` takes them; htmx gets the dialog alone."""
    if actor.user_id is None:
        return redirect_to_login(request)
    kind, key = request.query_params.get("kind", ""), request.query_params.get("key", "")
    return _page(request, actor, _subject(db, actor, kind, key), key)


def _subject(db: Session, actor: Actor, kind: str, key: str) -> Subject:
    if kind not in KIND_LABELS:
        raise BadRequest(lazy("kind must be one of %(list)s.", list=", ".join(KIND_LABELS)))
    return access_subject(db, actor, kind, key.replace("\0", "")[:250])


@router.post(REPORT)
def post_report(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Fields: `kind`, `key`, `reason`, `note`, `next`."""
    if actor.user_id is None:
        return redirect_to_login(request)
    kind, key = form.text("kind"), form.text("key")
    reason, note = form.text("reason"), form.text("note")
    try:
        with rt.database.writing() as db:
            subject = _subject(db, actor, kind, key)
            file_flag(db, actor, subject, reason, note)
            href = subject.href
    except (BadRequest, Conflict, TooManyRequests) as error:
        if kind not in KIND_LABELS:
            raise
        with rt.database.reading() as db:
            subject = _subject(db, actor, kind, key)
            return _page(request, actor, subject, key, reason=reason, note=note, error=error)
    thanks = lazy("Thank you. Moderators will look at it; nobody else learns that you reported it.")
    return redirect_page(request, safe_next(form.text("next"), href), thanks)
