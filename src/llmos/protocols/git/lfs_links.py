"""Links that carry their own permission: LFS clients send no credentials to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmos.core.errors import Forbidden
from llmos.features.repos.models import Repo
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

LINK_TTL_S = 6 * 3600


@dataclass(frozen=True, slots=True)
class LinkMaker:
    """Makes links on the host the client used, for one repository."""

    rt: Runtime
    host: str
    repo: Repo

    def _signed(self, purpose: str, path: str, **payload: Any) -> str:
        token = self.rt.signer.sign(purpose, {"r": self.repo.id, **payload}, ttl_s=LINK_TTL_S)
        return f"{self.host}/-/lfs/{path}?token={token}"

    def upload(self, oid: str, size_bytes: int) -> str:
        return self._signed("lfs-upload", f"upload/{oid}", o=oid, s=size_bytes)

    def download(self, oid: str) -> str:
        return self._signed("lfs-download", f"download/{oid}", o=oid)

    def part(self, upload_key: str, number: int) -> str:
        return self._signed("lfs-part", f"part/{upload_key}/{number}", k=upload_key, n=number)

    def complete(self, upload_key: str, oid: str, size_bytes: int) -> str:
        return self._signed("lfs-complete", f"complete/{upload_key}", k=upload_key, o=oid, s=size_bytes)

    def verify(self, oid: str, size_bytes: int) -> str:
        """Signed, too: git-lfs sends no credentials where the upload link needed none."""
        return self._signed("lfs-verify", f"verify/{oid}", o=oid, s=size_bytes)


def read_link(rt: Runtime, purpose: str, token: str | None, **path: Any) -> dict[str, Any]:
    """What a link permits. Forbidden if it was not made for this purpose and path, or has expired."""
    payload = rt.signer.verify(purpose, token or "")
    if payload is None or any(payload.get(key) != value for key, value in path.items()):
        raise Forbidden(lazy("This link is not valid or has expired: start the transfer again."))
    return payload
