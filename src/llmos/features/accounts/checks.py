"""What a name, an address or a profile text may be; messages name the field for its form."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from llmos.core.errors import BadRequest
from llmos.core.names import MAX_NAMESPACE_CHARS, RESERVED_NAMESPACES, check_namespace, name_key
from llmos.infra.i18n import lazy

MAX_FULLNAME_CHARS = 100
MAX_DETAILS_CHARS = 2000
MAX_EMAIL_CHARS = 254
_EMAIL = re.compile(r"[^@\s<>\"]+@[^@\s<>\"]+")


def check_name(name: str, *, field: str = "name") -> str:
    """Return `name` if a person or organisation may be called so; BadRequest otherwise."""
    data = {"field": field}
    if not name:
        raise BadRequest(lazy("Choose a name."), data=data)
    if len(name) > MAX_NAMESPACE_CHARS:
        raise BadRequest(
            lazy("The name is too long: at most %(count)d characters.", count=MAX_NAMESPACE_CHARS), data=data
        )
    if name_key(name) in RESERVED_NAMESPACES:
        raise BadRequest(
            lazy("The name %(name)s is reserved: please choose another one.", name=name), data=data
        )
    try:
        return check_namespace(name)
    except BadRequest as error:
        raise BadRequest(
            lazy(
                "A name has letters, digits, '-', '_' and '.', without '--' or '..', starts and ends "
                "with a letter or digit, and does not end in '.git'."
            ),
            data=data,
        ) from error


def check_email(email: str | None) -> str | None:
    """The address without surrounding space, None for an empty one; BadRequest when malformed."""
    text = (email or "").strip()
    if not text:
        return None
    if len(text) > MAX_EMAIL_CHARS or not _EMAIL.fullmatch(text) or not text.isprintable():
        raise BadRequest(lazy("The mail address must look like name@example.org."), data={"field": "email"})
    return text


def check_fullname(fullname: str) -> str:
    text = " ".join(fullname.split())
    if len(text) > MAX_FULLNAME_CHARS or not text.isprintable():
        raise BadRequest(
            lazy("The full name may have at most %(count)d printable characters.", count=MAX_FULLNAME_CHARS),
            data={"field": "fullname"},
        )
    return text


def check_details(details: str) -> str:
    text = details.replace("\r\n", "\n").strip()
    if len(text) > MAX_DETAILS_CHARS:
        raise BadRequest(
            lazy("The description is too long: at most %(count)d characters.", count=MAX_DETAILS_CHARS),
            data={"field": "details"},
        )
    return text


def check_website(website: str) -> str:
    """An http(s) address or nothing: it becomes a link that others click."""
    text = website.strip()
    if not text:
        return ""
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    has_space = any(char.isspace() for char in text)
    if parts.scheme not in ("http", "https") or not parts.hostname or has_space or len(text) > 300:
        raise BadRequest(
            lazy("The website must be an address that starts with https:// or http://."),
            data={"field": "website"},
        )
    return text


def check_visibility(visibility: str) -> str:
    if visibility not in ("public", "private"):
        raise BadRequest(
            lazy("The default visibility must be public or private."), data={"field": "default_visibility"}
        )
    return visibility
