"""Whether the holder of a token still has the rights that it lends.

Tokens and data links outlive a change of rights: an hour, or longer for a client on its way. So
each use looks at the rights again, at most once a minute: who is removed from an organisation,
whose access token is revoked, or whose repository goes, is shut out within that time.
"""

from __future__ import annotations

import dataclasses
import time
from datetime import datetime
from weakref import WeakKeyDictionary

from sqlalchemy.orm import Session
from starlette.requests import Request

from llmos.core import clock
from llmos.core.errors import Forbidden, NotFound, Unauthenticated
from llmos.features.accounts.actor import ANONYMOUS, Actor
from llmos.features.accounts.models import User
from llmos.features.auth.credentials import actor_for_user, token_scopes
from llmos.features.auth.models import AccessToken, BrowserSession
from llmos.features.buckets.models import Bucket
from llmos.features.buckets.policy import check_write as check_bucket_write
from llmos.features.repos.claims import check_upload
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import can_read, check_content
from llmos.infra.db.engine import Database
from llmos.infra.runtime import Runtime
from llmos.protocols.xet.tokens import Holder, XetAccess, access_store, writer_scope

RECHECK_S = 60.0
_MAX_REMEMBERED = 10_000

_confirmed: WeakKeyDictionary[Database, dict[XetAccess, tuple[float, XetAccess]]] = WeakKeyDictionary()


def access_now(rt: Runtime, request: Request) -> XetAccess:
    """What the request's token permits now; raises as `access_store` and `confirm` do."""
    return confirm(rt, access_store(rt, request))


def access_scope(rt: Runtime, request: Request) -> tuple[XetAccess, int]:
    """Like `access_now`, with the scope to write for; Forbidden (403) for a read token."""
    access = access_now(rt, request)
    if access.scope_id is None:
        raise Forbidden("This Xet access token is for reading only: ask for a write token.")
    return access, access.scope_id


def confirm(rt: Runtime, access: XetAccess) -> XetAccess:
    """`access` with the scope its holder has now. NotFound, Forbidden, GatedRepo or Unauthenticated
    once the rights are gone; a yes is remembered for a minute."""
    if access.holder is None:
        return access
    remembered = _confirmed.setdefault(rt.database, {})
    now_s = time.monotonic()
    known = remembered.get(access)
    if known is not None and known[0] > now_s:
        return known[1]
    with rt.database.reading() as db:
        found = _look(db, access, access.holder)
    if len(remembered) >= _MAX_REMEMBERED:
        remembered.clear()
    remembered[access] = (now_s + RECHECK_S, found)
    return found


def _look(db: Session, access: XetAccess, holder: Holder) -> XetAccess:
    actor = _actor_of(db, holder)
    if access.bucket_id is not None:
        bucket = db.get(Bucket, access.bucket_id)
        if bucket is None or bucket.deleted_at is not None or not can_read(actor, bucket):
            raise NotFound("The bucket of this token is gone or no longer open to you.")
        if access.scope_id is not None:
            check_bucket_write(actor, bucket)
        return access
    repo = db.get(Repo, access.repo_id)
    if repo is None or not can_read(actor, repo):
        raise NotFound("The repository of this token is gone or no longer open to you.")
    if access.scope_id is None:
        check_content(db, actor, repo)
        return access
    check_upload(db, actor, repo)
    return dataclasses.replace(access, scope_id=writer_scope(actor, repo))


def _actor_of(db: Session, holder: Holder) -> Actor:
    if holder.user_id is None:
        return ANONYMOUS
    user = db.get(User, holder.user_id)
    if user is None or user.disabled_at is not None or user.is_sanctioned("ban"):
        raise _ended()
    if holder.token_id is not None:
        row = db.get(AccessToken, holder.token_id)
        if row is None or row.revoked_at is not None or _is_past(row.expires_at):
            raise _ended()
        return actor_for_user(
            db, user, token_role=row.role, token_name=row.name, token_id=row.id, scopes=token_scopes(row)
        )
    session = db.get(BrowserSession, holder.session_id) if holder.session_id is not None else None
    if session is None or _is_past(session.expires_at):
        raise _ended()
    return actor_for_user(db, user, session_id=session.id)


def _is_past(moment: datetime | None) -> bool:
    return moment is not None and moment <= clock.now()


def _ended() -> Unauthenticated:
    return Unauthenticated("The credential this Xet access token was made with is no longer valid.")
