"""Mail through the outbox: it leaves only if the change it tells of is committed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy.orm import Session

from llmos.infra.db.engine import Database
from llmos.infra.mail.smtp import Mail, new_message_id, open_mailer
from llmos.infra.queue.outbox import emit, on_outside
from llmos.infra.settings import get_settings

TOPIC = "mail.send"


def queue_mail(db: Session, mail: Mail) -> None:
    """Write the message into the caller's transaction.

    Its Message-ID is fixed now, so that receivers can tell a repetition after a crash.
    """
    payload = asdict(mail)
    payload["message_id"] = mail.message_id or new_message_id(get_settings())
    emit(db, TOPIC, payload)


@on_outside(TOPIC)
def deliver_mail(_database: Database, payload: dict[str, Any]) -> None:
    """Send one queued message; an error leaves it in the outbox for later."""
    names = Mail.__dataclass_fields__
    mail = Mail(**{key: value for key, value in payload.items() if key in names})
    open_mailer(get_settings()).send(mail)
