"""Sending one message, by SMTP or not at all."""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Protocol
from urllib.parse import unquote, urlsplit

from llmos.infra.settings import Settings

log = logging.getLogger(__name__)
TIMEOUT_S = 20


@dataclass(frozen=True)
class Mail:
    """A message to one person: plain text, and the same as HTML where there is such.

    `headers` are further ones (`List-Unsubscribe`, …); `sender_name` stands before the site's address.
    """

    to: str
    subject: str
    text: str
    html: str | None = None
    message_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    sender_name: str | None = None


class Mailer(Protocol):
    def send(self, mail: Mail) -> None:
        """Deliver or raise OSError / smtplib.SMTPException; the caller repeats later."""


def mail_domain(settings: Settings) -> str:
    """The domain of the site's sender, which Message-IDs end in."""
    return settings.mail_from.rpartition("@")[2].rstrip(">") or "localhost"


def new_message_id(settings: Settings) -> str:
    return make_msgid(domain=mail_domain(settings))


def build_message(mail: Mail, settings: Settings) -> EmailMessage:
    """The message as it goes over the wire."""
    message = EmailMessage()
    message["From"] = _sender(mail, settings)
    message["To"] = mail.to
    message["Subject"] = " ".join(mail.subject.split())
    message["Date"] = formatdate()
    message["Message-ID"] = mail.message_id or new_message_id(settings)
    message["Auto-Submitted"] = "auto-generated"
    for name, value in mail.headers.items():
        message[name] = value
    message.set_content(mail.text)
    if mail.html:
        message.add_alternative(mail.html, subtype="html")
    return message


def _sender(mail: Mail, settings: Settings) -> str:
    if not mail.sender_name or "<" in settings.mail_from:
        return settings.mail_from
    return str(Address(" ".join(mail.sender_name.split()), addr_spec=settings.mail_from))


class SmtpMailer:
    """`smtp://user:password@host:587` (STARTTLS where offered) or `smtps://host:465`."""

    def __init__(self, url: str, settings: Settings) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("LLMOS_SMTP_URL must look like smtp://user:password@host:587")
        self._is_tls = parts.scheme == "smtps"
        self._host = parts.hostname
        self._port = parts.port or (465 if self._is_tls else 587)
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password or "")
        self._settings = settings

    def send(self, mail: Mail) -> None:
        message = build_message(mail, self._settings)
        client = smtplib.SMTP_SSL if self._is_tls else smtplib.SMTP
        with client(self._host, self._port, timeout=TIMEOUT_S) as smtp:
            smtp.ehlo()
            if not self._is_tls and smtp.has_extn("starttls"):
                smtp.starttls()
                smtp.ehlo()
            if self._user:
                smtp.login(self._user, self._password)
            try:
                smtp.send_message(message)
            except smtplib.SMTPRecipientsRefused as error:
                codes = [code for code, _ in error.recipients.values()]
                if not codes or min(codes) < 500:
                    raise
                # The address is refused for good: repeating it for days helps nobody.
                log.warning("mail to %s refused: %s", mail.to, error.recipients)


class NullMailer:
    """Where no mail server is set: says in the log that a message was dropped, not what it said."""

    def send(self, mail: Mail) -> None:
        log.warning("mail to %s dropped: LLMOS_SMTP_URL is not set", mail.to)


def open_mailer(settings: Settings) -> Mailer:
    return SmtpMailer(settings.smtp_url, settings) if settings.smtp_url else NullMailer()
