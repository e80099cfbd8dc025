"""Access tokens: shown once, stored hashed, narrowed by role and scopes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, Forbidden, LlmosError, NotFound
from llmos.core.ids import new_access_token
from llmos.core.names import split_repo_name
from llmos.core.repo_types import RepoType
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.accounts.policy import get_namespace
from llmos.features.auth.models import AccessToken
from llmos.infra.i18n import lazy
from llmos.infra.security.secrets import hash_secret

ROLES = ("read", "write", "fineGrained")
VERBS = ("repo.read", "repo.write", "repo.admin", "discussion.write", "job.write", "inference")
_IMPLIED = {"repo.write": ("repo.read",), "repo.admin": ("repo.write", "repo.read")}
MAX_NAME_CHARS = 80
MAX_SCOPES = 50
MAX_DAYS = 3650
_VALUE = re.compile(r"hf_[A-Za-z0-9]{34,200}")


def create_token(
    db: Session,
    actor: Actor,
    user: User,
    *,
    name: str,
    role: str,
    scopes: Sequence[dict[str, Any]] = (),
    expires_in_days: int | None = None,
    value: str | None = None,
) -> tuple[AccessToken, str]:
    """A new token of `user` and its value, which cannot be read again.

    `scopes` (for role `fineGrained` alone) are `{"target": "lab" | "model:lab/tiny" | "*", "verbs":
    [...]}`; `value` imports an existing token. Raises Forbidden for somebody else's account,
    BadRequest with the field, Conflict for a name or value in use.
    """
    _check_owner(actor, user)
    name = _check_name(db, user, name)
    if role not in ROLES:
        raise BadRequest(
            lazy("The role must be one of: %(roles)s.", roles=", ".join(ROLES)), data={"field": "role"}
        )
    checked = check_scopes(db, scopes) if role == "fineGrained" else []
    if scopes and role != "fineGrained":
        raise BadRequest(
            lazy("Only a fine-grained token has scopes: choose that role."), data={"field": "scopes"}
        )
    if expires_in_days is not None and not 1 <= expires_in_days <= MAX_DAYS:
        raise BadRequest(
            lazy("A token lasts from 1 to %(count)d days.", count=MAX_DAYS), data={"field": "expires"}
        )
    secret = _check_value(db, value) if value is not None else new_access_token()
    expires_at = clock.now() + timedelta(days=expires_in_days) if expires_in_days else None
    token = add_token(db, user, name=name, secret=secret, role=role, scopes=checked, expires_at=expires_at)
    audit.record(db, actor, "token.create", user.name, token=name, role=role, scopes=checked)
    return token, secret


def add_token(db: Session, user: User, *, name: str, secret: str, **values: Any) -> AccessToken:
    """The row of a checked token; only its hash and last four characters are kept."""
    token = AccessToken(
        user_id=user.id,
        name=name,
        token_hash=hash_secret(secret),
        token_hint=f"hf_…{secret[-4:]}",
        **values,
    )
    db.add(token)
    db.flush()
    return token


def _check_owner(actor: Actor, user: User) -> None:
    actor.check_account_write()
    if actor.user_id != user.id and not actor.is_admin:
        raise Forbidden(lazy("You may manage only your own tokens."))


def _check_name(db: Session, user: User, name: str) -> str:
    name = " ".join(name.split())
    field = {"field": "name"}
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise BadRequest(
            lazy("Give the token a name of at most %(count)d characters.", count=MAX_NAME_CHARS), data=field
        )
    if any(token.name == name for token in list_tokens(db, user)):
        raise Conflict(
            lazy("You have a token named %(name)s: revoke it or choose another name.", name=name), data=field
        )
    return name


def _check_value(db: Session, value: str) -> str:
    field = {"field": "value"}
    if not _VALUE.fullmatch(value):
        raise BadRequest(
            lazy(
                "A token looks like 'hf_' followed by at least 34 letters and digits: "
                "Hub clients send no other."
            ),
            data=field,
        )
    if db.scalar(select(AccessToken.id).where(AccessToken.token_hash == hash_secret(value))) is not None:
        raise Conflict(lazy("This token value is in use already: import another one."), data=field)
    return value


def check_scopes(db: Session, scopes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The scopes with implied verbs added and targets in lower case. Raises BadRequest."""
    field = {"field": "scopes"}
    if not scopes or len(scopes) > MAX_SCOPES:
        raise BadRequest(
            lazy("A fine-grained token needs from 1 to %(count)d scopes.", count=MAX_SCOPES), data=field
        )
    out = []
    for scope in scopes:
        verbs = [str(verb) for verb in scope.get("verbs") or ()]
        unknown = [verb for verb in verbs if verb not in VERBS]
        if unknown or not verbs:
            raise BadRequest(
                lazy("Each scope names what it allows, of: %(verbs)s.", verbs=", ".join(VERBS)), data=field
            )
        wanted = set(verbs).union(*(_IMPLIED.get(verb, ()) for verb in verbs))
        target = _check_target(db, str(scope.get("target", "")))
        out.append({"target": target, "verbs": [verb for verb in VERBS if verb in wanted]})
    return out


def _check_target(db: Session, target: str) -> str:
    if target == "*":
        return target
    kind, colon, repo_name = target.partition(":")
    try:
        namespace = split_repo_name(repo_name)[0] if colon else target
        if colon:
            RepoType(kind)
    except (LlmosError, ValueError) as error:
        raise BadRequest(
            lazy(
                "A scope is for '*', a person or organisation, or a repository written as "
                "'model:name/repository'; %(target)s is neither.",
                target=target[:120],
            ),
            data={"field": "scopes"},
        ) from error
    if get_namespace(db, namespace) is None:
        raise BadRequest(
            lazy("There is nobody called %(name)s to give a token access to.", name=namespace[:100]),
            data={"field": "scopes"},
        )
    return target.lower()


def list_tokens(db: Session, user: User) -> list[AccessToken]:
    """The tokens of a person that are not revoked, newest first; expired ones are still listed."""
    statement = (
        select(AccessToken)
        .where(AccessToken.user_id == user.id, AccessToken.revoked_at.is_(None))
        .order_by(AccessToken.id.desc())
    )
    return [token for token in db.scalars(statement) if not _is_replaced(token)]


def _is_replaced(token: AccessToken) -> bool:
    return token.refresh_used_at is not None and (
        token.expires_at is not None and token.expires_at <= clock.now()
    )


def get_token_by_name(db: Session, user: User, name: str) -> AccessToken | None:
    """The person's working token with that name, or with that id as printed by `token list`."""
    return next((token for token in list_tokens(db, user) if name in (token.name, token.object_id)), None)


def revoke_token(db: Session, actor: Actor, token: AccessToken) -> None:
    """The token is refused from now on. Raises Forbidden for somebody else's."""
    _check_owner(actor, token.user)
    if token.revoked_at is None:
        token.revoked_at = clock.now()
        token.refresh_hash = None
        audit.record(db, actor, "token.revoke", token.user.name, token=token.name)


def access_own_token(db: Session, actor: Actor, object_id: str) -> AccessToken:
    """One's own token by its id. Raises NotFound."""
    token = db.scalar(select(AccessToken).where(AccessToken.object_id == object_id))
    if token is None or token.user_id != actor.require_user() or token.revoked_at is not None:
        raise NotFound(lazy("This token is revoked already."))
    return token
