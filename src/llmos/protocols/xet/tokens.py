"""Tokens and addresses of the chunk store, as the Hub hands them out."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from sqlalchemy.orm import Session
from starlette.requests import Request

from llmos.core.errors import Conflict, Forbidden, Unauthenticated
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import presented_token
from llmos.features.repos.claims import check_room, check_upload
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import can_write
from llmos.infra.runtime import Runtime

TOKEN_TTL_S = 3600
# A refused token is fatal to the client, which then never asks for a new one.
GRACE_S = 1800
_PURPOSE = "xet token"
_EPOCH = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class XetAccess:
    """What a token permits: reading the files of one repository or bucket; with a scope, writing for it.

    `scope_id` is the namespace whose stored chunks may be told of.
    """

    repo_id: int | None
    scope_id: int | None
    bucket_id: int | None = None


@dataclass(frozen=True, slots=True)
class XetConnection:
    """A token with the address it is for, in the two forms clients read."""

    cas_url: str
    access_token: str
    expires_at_s: int

    def to_json(self) -> dict[str, object]:
        return {"casUrl": self.cas_url, "accessToken": self.access_token, "exp": self.expires_at_s}

    def to_headers(self) -> dict[str, str]:
        return {
            "X-Xet-Cas-Url": self.cas_url,
            "X-Xet-Access-Token": self.access_token,
            "X-Xet-Token-Expiration": str(self.expires_at_s),
        }


def current_epoch(rt: Runtime) -> str:
    """The part of the store's address that changes when a backup is restored, or nothing.

    Clients remember per address which chunks are stored; a restored store may have fewer.
    """
    try:
        text = (rt.settings.home / "cas_epoch").read_text().strip()
    except FileNotFoundError:
        return ""
    return text if _EPOCH.match(text) else ""


def connect(rt: Runtime, host: str, access: XetAccess, *, ttl_s: int = TOKEN_TTL_S) -> XetConnection:
    """A token for `access`, valid for an hour or for `ttl_s`, on `host` (`http://name:port`)."""
    epoch = current_epoch(rt)
    payload = {"r": access.repo_id, "s": access.scope_id, "b": access.bucket_id}
    token = rt.signer.sign(_PURPOSE, payload, ttl_s=ttl_s)
    cas_url = f"{host}/cas/e/{epoch}" if epoch else f"{host}/cas"
    return XetConnection(cas_url, token, int(time.time()) + ttl_s)


def connect_writer(db: Session, rt: Runtime, actor: Actor, repo: Repo, host: str) -> XetConnection:
    """A way to upload for a repository; Forbidden, GatedRepo or QuotaExceeded where that is not allowed.

    Chunks known already are told of only to members of the repository's namespace; others, who
    may open a pull request, learn of their own.
    """
    check_upload(db, actor, repo)
    check_room(db, rt.settings, repo.namespace, 1)
    scope_id = repo.namespace_id if can_write(actor, repo) else actor.require_user()
    return connect(rt, host, XetAccess(repo.id, scope_id))


def access_store(rt: Runtime, request: Request) -> XetAccess:
    """What the request's token permits. Unauthenticated (401) for none, a forged or an old one;
    Conflict where the address is from before a restore."""
    token = presented_token(request.headers.raw)
    if not token:
        raise Unauthenticated("Send the access token that xet-read-token or xet-write-token gave out.")
    payload = rt.signer.verify(_PURPOSE, token, grace_s=GRACE_S) if token.isascii() else None
    if payload is None:
        raise Unauthenticated("The Xet access token is not valid or has expired: ask the Hub for a new one.")
    if request.path_params.get("epoch", "") != current_epoch(rt):
        raise Conflict("The address of the chunk store has changed: ask the Hub for a new token.")
    return XetAccess(payload["r"], payload["s"], payload.get("b"))


def access_scope(rt: Runtime, request: Request) -> tuple[XetAccess, int]:
    """Like `access_store`, with the scope to write for; Forbidden (403) for a read token."""
    access = access_store(rt, request)
    if access.scope_id is None:
        raise Forbidden("This Xet access token is for reading only: ask for a write token.")
    return access, access.scope_id
