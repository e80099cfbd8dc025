"""Mail through the outbox: it leaves only if the change it tells of is committed."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from llmos.infra.mail.smtp import Mail, open_mailer
from llmos.infra.queue.outbox import emit, on
from llmos.infra.settings import get_settings

TOPIC = "mail.send"


def queue_mail(db: Session, mail: Mail) -> None:
    """Write the message into the caller's transaction."""
    emit(db, TOPIC, {"to": mail.to, "subject": mail.subject, "text": mail.text})


@on(TOPIC)
def deliver_mail(_db: Session, payload: dict[str, Any]) -> None:
    """Send one queued message; an error leaves it in the outbox for later."""
    mail = Mail(payload["to"], payload["subject"], payload["text"])
    open_mailer(get_settings()).send(mail)
