"""What several pages of moderation show: tabs, rows of measures, choices, a subject in its context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest
from llmos.features.accounts.avatars import avatar_url
from llmos.features.accounts.models import User
from llmos.features.auth.texts import render_text, text_references
from llmos.features.discussions.hrefs import repo_href, thread_href
from llmos.features.discussions.models import Comment
from llmos.features.moderation import queries
from llmos.features.moderation.models import Measure
from llmos.features.moderation.queries import Label
from llmos.features.moderation.scope import Scope
from llmos.features.moderation.subjects import COMMENT, THREAD, USER, Subject
from llmos.features.moderation.wording import BY_REPORTS, FAVOURS, KIND_LABELS, VERBS
from llmos.infra.i18n import Locale, lazy, translator
from llmos.ui.filters import with_query
from llmos.ui.markdown import References
from llmos.ui.views import Badge, CommentView, Option, Person, Tab

QUEUE = "/moderation"
LOG = "/moderation/log"
APPEALS = "/moderation/appeals"
SHOWN_AROUND = 2
DAYS = (1, 3, 7, 30, 90, 365)


def tabs(scope: Scope, current: str, locale: Locale, *, cases: int | None = None) -> list[Tab]:
    """Queue, log and (for moderators of the site) appeals."""
    _ = translator(locale).gettext
    keep = {"repo": scope.key}
    found = [
        Tab(_("Reports"), with_query(QUEUE, keep), "flag", cases, current == "queue"),
        Tab(_("Log"), with_query(LOG, keep), "history", None, current == "log"),
    ]
    if scope.is_site and scope.repo is None:
        found.append(Tab(_("Appeals"), APPEALS, "scale", None, current == "appeals"))
    return found


def person_of(user: User | None) -> Person | None:
    if user is None:
        return None
    return Person(user.name, f"/{user.name}", user.fullname, avatar_url(user.namespace))


def measure_row(measure: Measure, labels: Mapping[tuple[str, int], Label]) -> dict[str, Any]:
    """What the macro `measure_list` shows of one."""
    words = VERBS[measure.verb]
    label = labels.get((measure.subject_kind, measure.subject_id))
    return {
        "id": measure.id,
        "verb": measure.verb,
        "label": words.label,
        "told": words.told,
        "icon": words.icon,
        "tone": words.tone,
        "kind": measure.subject_kind,
        "kind_label": KIND_LABELS[measure.subject_kind],
        "is_note": False,
        "title": label.title if label is not None else "",
        "href": label.href if label is not None else None,
        "by": measure.actor.name if measure.actor is not None else "",
        "is_automatic": measure.actor_id is None,
        "person": measure.user.name if measure.user is not None else "",
        "reason": "" if measure.reason == BY_REPORTS else measure.reason,
        "ends_at": measure.data.get("ends_at"),
        "at": measure.created_at,
        "undone_at": measure.undone_at,
        "is_favour": measure.verb in FAVOURS,
        "case_id": measure.case_id,
    }


def sanction_options(locale: Locale) -> list[Option]:
    _ = translator(locale).gettext
    return [
        Option("", _("Nothing")),
        Option("warn", _("Warn")),
        Option("suspend", _("Suspend: may read and appeal, not write")),
        Option("ban", _("Ban: tokens are refused as well")),
    ]


def day_options(locale: Locale) -> list[Option]:
    ngettext = translator(locale).ngettext
    found = [Option(str(day), ngettext("%(num)s day", "%(num)s days", day) % {"num": day}) for day in DAYS]
    return [*found, Option("", translator(locale).gettext("Without end"))]


def read_days(text: str) -> int | None:
    """The number typed; None for an empty field: without end. BadRequest for anything else."""
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 6:
        raise BadRequest(lazy("days must be a whole number, or empty for no end."))
    return int(text)


def place_of(subject: Subject, locale: Locale) -> Label | None:
    """The repository or the forum a thing stands in; None for people and collections."""
    if subject.repo is not None:
        return Label(subject.repo.repo_name, repo_href(subject.repo))
    if subject.thread is not None:
        return Label(translator(locale).gettext("Forum"), "/forum")
    return None


def subject_context(db: Session, subject: Subject, reported: str | None, locale: Locale) -> dict[str, Any]:
    """A thing as it is, with what stands around it; `reported` is its text when it was reported.

    `around` are the comments before and after, `splittable` the replies that could be moved.
    """
    comments: list[Comment] = []
    if subject.thread is not None:
        comments = queries.list_around(db, subject.thread, subject.comment)
    shown = _shown(subject, comments)
    base = repo_href(subject.repo) if subject.repo is not None else ""
    texts = [comment.text for comment in shown] + [subject.excerpt, reported or ""]
    references = text_references(db, texts, base)
    thread = subject.thread
    first_id = thread.first_comment_id if thread is not None else None
    was_changed = reported is not None and reported != subject.excerpt

    def rendered(text: str, scope: str) -> Any:
        return render_text(db, text, base, scope=scope, references=references) if text.strip() else None

    return {
        "subject": subject,
        "place": place_of(subject, locale),
        "is_thread": subject.kind in (COMMENT, THREAD),
        "is_topic": thread is not None and thread.kind == "topic",
        "can_move_comments": thread is not None and thread.kind != "pull_request",
        "is_hidden": subject.is_hidden,
        "is_locked": thread is not None and thread.is_locked,
        "around": [_view(db, comment, subject, base, references, locale) for comment in shown],
        "text": rendered(subject.excerpt, "now") if subject.comment is None else None,
        "reported_text": rendered(reported or "", "then") if was_changed else None,
        "was_changed": was_changed,
        "splittable": [_line(comment, subject) for comment in comments if comment.id != first_id],
        "category_id": thread.category_id if thread is not None else None,
        "key": key_of(subject),
    }


def key_of(subject: Subject) -> str:
    """The key under which `subjects.access_subject` finds it."""
    if subject.comment is not None:
        return subject.comment.public_id
    if subject.kind == USER:
        return subject.title
    return str(subject.id)


def _shown(subject: Subject, comments: Sequence[Comment]) -> list[Comment]:
    if subject.comment is None:
        return list(comments[: SHOWN_AROUND + 1])
    here = next((at for at, comment in enumerate(comments) if comment.id == subject.id), 0)
    return list(comments[max(0, here - SHOWN_AROUND) : here + SHOWN_AROUND + 1])


def _view(
    db: Session, comment: Comment, subject: Subject, base: str, references: References, locale: Locale
) -> CommentView:
    is_it = comment.id == subject.id and subject.kind == COMMENT
    _ = translator(locale).gettext
    reported = Badge(_("Reported"), "warning", "flag")
    assert subject.thread is not None
    return CommentView(
        id=comment.public_id,
        author=person_of(comment.author),
        at=comment.created_at,
        href=thread_href(subject.thread, comment),
        body=render_text(db, comment.text, base, scope=comment.public_id, references=references),
        badges=[reported] if is_it else [],
        is_hidden=comment.hidden_at is not None,
        hidden_reason="" if comment.hidden_reason == BY_REPORTS else comment.hidden_reason,
        edited_at=comment.edited_at,
    )


def _line(comment: Comment, subject: Subject) -> dict[str, Any]:
    words = " ".join(comment.text.split())
    return {
        "id": comment.id,
        "author": comment.author.name if comment.author is not None else "",
        "words": words[:100] + ("…" if len(words) > 100 else ""),
        "at": comment.created_at,
        "is_subject": subject.kind == COMMENT and comment.id == subject.id,
    }


def measure_notes(measures: Sequence[Measure]) -> list[dict[str, Any]]:
    """The same without the titles of what they were done to, which would have to be looked up."""
    return [measure_row(measure, {}) | {"is_note": True} for measure in measures]


def measure_rows(db: Session, measures: Sequence[Measure]) -> list[dict[str, Any]]:
    labels = queries.label_subjects(db, measures)
    return [measure_row(measure, labels) for measure in measures]
