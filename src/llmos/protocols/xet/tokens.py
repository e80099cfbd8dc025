"""Tokens and addresses of the chunk store, as the Hub hands them out."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session
from starlette.requests import Request

from llmos.core.errors import Conflict, Unauthenticated
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
class Holder:
    """Whose rights a token lends, by which credential; nobody at all for a visitor.

    The rights are looked at again while the token is used, so it ends with them.
    """

    user_id: int | None = None
    token_id: int | None = None
    session_id: int | None = None

    @classmethod
    def of(cls, actor: Actor) -> Holder:
        return cls(actor.user_id, actor.token_id, actor.session_id)


@dataclass(frozen=True, slots=True)
class XetAccess:
    """What a token permits: reading the files of one repository or bucket; with a scope, writing for it.

    `scope_id` is the namespace whose stored chunks may be told of. With a `revision` only the files
    of that revision are readable. Without a `holder` the server gave the token to itself.
    """

    repo_id: int | None
    scope_id: int | None
    bucket_id: int | None = None
    holder: Holder | None = None
    revision: str | None = None

    def to_payload(self) -> dict[str, Any]:
        """The short form that is signed."""
        held = self.holder
        return {
            "r": self.repo_id,
            "s": self.scope_id,
            "b": self.bucket_id,
            "h": [held.user_id, held.token_id, held.session_id] if held else None,
            "v": self.revision,
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> XetAccess:
        holder = None if payload["h"] is None else Holder(*payload["h"])
        return cls(payload["r"], payload["s"], payload["b"], holder, payload["v"])


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
    token = rt.signer.sign(_PURPOSE, access.to_payload(), ttl_s=ttl_s)
    return XetConnection(cas_address(rt, host), token, int(time.time()) + ttl_s)


def cas_address(rt: Runtime, host: str) -> str:
    """Where the chunk store answers on `host` now."""
    epoch = current_epoch(rt)
    return f"{host}/cas/e/{epoch}" if epoch else f"{host}/cas"


def connect_writer(
    db: Session, rt: Runtime, actor: Actor, repo: Repo, host: str, revision: str | None = None
) -> XetConnection:
    """A way to upload for a repository; Forbidden, GatedRepo or QuotaExceeded where that is not allowed.

    Chunks known already are told of only to members of the repository's namespace; others, who
    may open a pull request, learn of their own. The token is for one branch; what it brings may
    be read back through it before the commit.
    """
    check_upload(db, actor, repo)
    check_room(db, rt.settings, repo.namespace, 1)
    access = XetAccess(repo.id, writer_scope(actor, repo), holder=Holder.of(actor), revision=revision)
    return connect(rt, host, access)


def writer_scope(actor: Actor, repo: Repo) -> int:
    """The namespace for which somebody who may upload to a repository stores chunks."""
    return repo.namespace_id if can_write(actor, repo) else actor.require_user()


def access_store(rt: Runtime, request: Request) -> XetAccess:
    """What the request's token permits, as it says. Unauthenticated (401) for none, a forged or an
    old one; Conflict where the address is from before a restore.

    Routes call `rights.access_now`, which also asks whether its holder still has these rights.
    """
    token = presented_token(request.headers.raw)
    if not token:
        raise Unauthenticated("Send the access token that xet-read-token or xet-write-token gave out.")
    payload = rt.signer.verify(_PURPOSE, token, grace_s=GRACE_S) if token.isascii() else None
    if payload is None:
        raise Unauthenticated("The Xet access token is not valid or has expired: ask the Hub for a new one.")
    if request.path_params.get("epoch", "") != current_epoch(rt):
        raise Conflict("The address of the chunk store has changed: ask the Hub for a new token.")
    return XetAccess.from_payload(payload)
