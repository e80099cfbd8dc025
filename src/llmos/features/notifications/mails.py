"""Notifications as mail: composed when they leave, in the reader's language, with a way out.

Every mail carries a one-click unsubscribe link (RFC 8058); mails of one thread refer to the same
first message, so that mail programs show them together.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from llmos.features.accounts.models import User
from llmos.features.auth.credentials import actor_for_user
from llmos.features.discussions.models import Comment
from llmos.features.notifications.models import Notification
from llmos.features.notifications.queries import select_shown
from llmos.features.notifications.reasons import LABELS, MODES, NEVER
from llmos.features.notifications.service import MAIL_TOPIC, change_wishes, get_wishes
from llmos.features.notifications.wording import sentence, title_of
from llmos.infra.db.engine import Database
from llmos.infra.i18n import Locale, lazy, localize, negotiate_locale
from llmos.infra.mail.smtp import Mail, mail_domain, open_mailer
from llmos.infra.queue.outbox import on_outside
from llmos.infra.security.secrets import load_secret_key
from llmos.infra.security.signing import Signer
from llmos.infra.settings import Settings, get_settings
from llmos.infra.web.urls import site_url

DIGEST_TOPIC: Final = "NotificationDigest"
UNSUBSCRIBE: Final = "unsubscribe"
MAX_TEXT_CHARS = 4000


def mail_locale(user: User, settings: Settings) -> Locale:
    return negotiate_locale(None, settings.default_locale, user.locale)


def unsubscribe_url(settings: Settings, user_id: int, what: str) -> str:
    """The signed address that ends mail of one reason, or (`daily`, `weekly`) one kind of digest."""
    signer = Signer(load_secret_key(settings))
    return f"{site_url(settings)}/-/unsubscribe/{signer.sign(UNSUBSCRIBE, {'u': user_id, 'w': what})}"


def unsubscribe(db: Session, user_id: int, what: str) -> None:
    """What the link promises; doing it twice is no error."""
    if what in LABELS:
        change_wishes(db, user_id, {what: NEVER})
    elif what in MODES:
        wishes = get_wishes(db, user_id)
        change_wishes(db, user_id, {reason: NEVER for reason, mode in wishes.items() if mode == what})


def _out(settings: Settings, url: str) -> dict[str, str]:
    return {
        "List-Unsubscribe": f"<{url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "List-Id": f"<notifications.{mail_domain(settings)}>",
        "Precedence": "list",
    }


@on_outside(MAIL_TOPIC)
def send_notification(database: Database, payload: dict[str, Any]) -> None:
    """One notification to one person; nothing where it was read, hidden or unsubscribed meanwhile."""
    settings = get_settings()
    if not settings.smtp_url:
        return
    with database.reading() as db:
        user = db.get(User, payload["user_id"])
        if user is None or not _may_mail(user):
            return
        shown = select_shown(actor_for_user(db, user)).where(Notification.event_key == payload["key"])
        row = db.scalar(shown)
        if row is None or row.read_at is not None or get_wishes(db, user.id).get(row.reason) == NEVER:
            return
        mail = compose(db, user, row, settings)
    open_mailer(settings).send(mail)


def _may_mail(user: User) -> bool:
    return bool(user.email and user.email_verified_at and user.disabled_at is None)


def compose(db: Session, user: User, row: Notification, settings: Settings) -> Mail:
    """The mail of one notification. A comment's whole text is in it, up to MAX_TEXT_CHARS."""
    locale = mail_locale(user, settings)
    comment = db.get(Comment, row.comment_id) if row.comment_id else None
    text = comment.text if comment and not comment.is_hidden else str(row.data.get("text", ""))
    title = title_of(row)
    subject = f"{title}: {sentence(row, locale)}" if title else sentence(row, locale)
    if row.thread is not None:
        place = row.repo.repo_name if row.repo else settings.site_name
        # The same for all mails of a thread, or some programs would not keep them together.
        subject = f"[{place}] {title}" + (f" (#{row.thread.num})" if row.repo else "")
    out = unsubscribe_url(settings, user.id, row.reason)
    why = LABELS[row.reason][0] if row.reason in LABELS else ""
    letter = Letter(
        locale,
        settings.site_name,
        heading=f"{sentence(row, locale)}: {title}" if title else sentence(row, locale),
        items=(Item("", text[:MAX_TEXT_CHARS], f"{site_url(settings)}{row.href}"),),
        reason=localize(why, locale),
        out=out,
        settings_url=f"{site_url(settings)}/settings/notifications",
    )
    return Mail(
        to=user.email or "",
        subject=subject,
        text=letter.as_text(),
        html=letter.as_html(),
        message_id=_message_id(row, comment, settings),
        headers=_out(settings, out) | _threading(row, comment, settings),
        sender_name=row.actor.fullname if row.actor else settings.site_name,
    )


def _message_id(row: Notification, comment: Comment | None, settings: Settings) -> str:
    domain = mail_domain(settings)
    if comment is not None and row.thread is not None and comment.id == row.thread.first_comment_id:
        return f"<thread.{row.thread_id}@{domain}>"
    if comment is not None and row.kind == "comment":
        return f"<comment.{comment.public_id}@{domain}>"
    return f"<notification.{row.id}@{domain}>"


def _threading(row: Notification, comment: Comment | None, settings: Settings) -> dict[str, str]:
    if row.thread is None or (comment is not None and comment.id == row.thread.first_comment_id):
        return {}
    first = f"<thread.{row.thread_id}@{mail_domain(settings)}>"
    return {"In-Reply-To": first, "References": first}


@on_outside(DIGEST_TOPIC)
def send_digest(database: Database, payload: dict[str, Any]) -> None:
    """One digest: what of it is still unread and visible."""
    settings = get_settings()
    if not settings.smtp_url:
        return
    with database.reading() as db:
        user = db.get(User, payload["user_id"])
        if user is None or not _may_mail(user):
            return
        shown = select_shown(actor_for_user(db, user)).where(
            Notification.id.in_(payload["ids"]), Notification.read_at.is_(None)
        )
        rows = list(db.scalars(shown.order_by(Notification.id)))
        if not rows:
            return
        mail = compose_digest(user, rows, payload, settings)
    open_mailer(settings).send(mail)


def compose_digest(
    user: User, rows: Sequence[Notification], payload: dict[str, Any], settings: Settings
) -> Mail:
    """A list of what happened, with links."""
    locale = mail_locale(user, settings)
    mode = payload["period"].partition(":")[0]
    words = lazy("%(site)s: %(count)s news for you", site=settings.site_name, count=len(rows))
    subject = localize(words, locale)
    out = unsubscribe_url(settings, user.id, mode)
    site = site_url(settings)
    letter = Letter(
        locale,
        settings.site_name,
        heading=subject,
        items=tuple(Item(title_of(row), sentence(row, locale), f"{site}{row.href}") for row in rows),
        reason=localize(MODES[mode], locale),
        out=out,
        settings_url=f"{site}/settings/notifications",
    )
    return Mail(
        to=user.email or "",
        subject=subject,
        text=letter.as_text(),
        html=letter.as_html(),
        message_id=f"<digest.{payload['period'].replace(':', '.')}.{user.id}@{mail_domain(settings)}>",
        headers=_out(settings, out),
        sender_name=settings.site_name,
    )


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of a letter: a title (or none), words, where to read on."""

    title: str
    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail's content, written twice: as plain text and as plain HTML."""

    locale: Locale
    site_name: str
    heading: str
    items: tuple[Item, ...]
    reason: str
    out: str
    settings_url: str

    @property
    def _why(self) -> str:
        words = lazy("You get this mail because of your setting “%(reason)s”.", reason=self.reason)
        return localize(words, self.locale)

    def as_text(self) -> str:
        parts = [self.heading]
        for item in self.items:
            parts.append("\n".join(line for line in (item.title, item.text, item.url) if line))
        stop = localize(lazy("End this kind of mail: %(url)s", url=self.out), self.locale)
        change = localize(lazy("Change your settings: %(url)s", url=self.settings_url), self.locale)
        return "\n\n".join(parts) + f"\n\n-- \n{self._why}\n{stop}\n{change}\n"

    def as_html(self) -> str:
        body = "".join(map(self._html_item, self.items))
        stop = localize(lazy("End this kind of mail"), self.locale)
        change = localize(lazy("Change your settings"), self.locale)
        return (
            f'<!doctype html><html lang="{self.locale}"><head><meta charset="utf-8"></head>'
            '<body style="font:16px/1.5 system-ui,sans-serif;color:#1c1e21;max-width:40em;margin:1em auto">'
            f'<p style="font-weight:600">{html.escape(self.heading)}</p>{body}'
            f'<hr><p style="font-size:13px;color:#5f6368">{html.escape(self._why)}<br>'
            f'<a href="{html.escape(self.out)}">{html.escape(stop)}</a> · '
            f'<a href="{html.escape(self.settings_url)}">{html.escape(change)}</a></p></body></html>'
        )

    def _html_item(self, item: Item) -> str:
        url = html.escape(item.url)
        if item.title:
            return (
                f'<p><a href="{url}">{html.escape(item.title)}</a><br>'
                f'<span style="color:#5f6368">{html.escape(item.text)}</span></p>'
            )
        read = localize(lazy("Read on %(site)s", site=self.site_name), self.locale)
        return (
            f'<div style="white-space:pre-wrap">{html.escape(item.text)}</div>'
            f'<p><a href="{url}">{html.escape(read)}</a></p>'
        )
