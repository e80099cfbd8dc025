"""Sending one message, by SMTP or not at all."""

from __future__ import annotations

import logging
import smtplib
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Protocol
from urllib.parse import unquote, urlsplit

from llmos.infra.settings import Settings

log = logging.getLogger(__name__)
TIMEOUT_S = 20


@dataclass(frozen=True)
class Mail:
    """A plain-text message to one person."""

    to: str
    subject: str
    text: str


class Mailer(Protocol):
    def send(self, mail: Mail) -> None:
        """Deliver or raise OSError / smtplib.SMTPException; the caller repeats later."""


class SmtpMailer:
    """`smtp://user:password@host:587` (STARTTLS where offered) or `smtps://host:465`."""

    def __init__(self, url: str, sender: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("LLMOS_SMTP_URL must look like smtp://user:password@host:587")
        self._is_tls = parts.scheme == "smtps"
        self._host = parts.hostname
        self._port = parts.port or (465 if self._is_tls else 587)
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password or "")
        self._sender = sender

    def send(self, mail: Mail) -> None:
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = mail.to
        message["Subject"] = mail.subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self._sender.rpartition("@")[2] or "localhost")
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text)
        client = smtplib.SMTP_SSL if self._is_tls else smtplib.SMTP
        with client(self._host, self._port, timeout=TIMEOUT_S) as smtp:
            smtp.ehlo()
            if not self._is_tls and smtp.has_extn("starttls"):
                smtp.starttls()
                smtp.ehlo()
            if self._user:
                smtp.login(self._user, self._password)
            smtp.send_message(message)


class NullMailer:
    """Where no mail server is set: says in the log that a message was dropped, not what it said."""

    def send(self, mail: Mail) -> None:
        log.warning("mail to %s dropped: LLMOS_SMTP_URL is not set", mail.to)


def open_mailer(settings: Settings) -> Mailer:
    return SmtpMailer(settings.smtp_url, settings.mail_from) if settings.smtp_url else NullMailer()
