"""LFS batch and verify (git-lfs API docs, `batch.md`, `basic-transfers.md`; Hub `multipart` transfer)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

from pydantic import Field
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from llmos.core.errors import Conflict, TooLarge, Unprocessable
from llmos.features.accounts.actor import Actor
from llmos.features.repos.claims import check_room, check_upload, get_claims, proves_object
from llmos.features.repos.policy import check_content
from llmos.features.storage.multipart import PartPlan, start_upload
from llmos.features.storage.objects import get_lfs_objects, is_oid, presigned_link
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url
from llmos.protocols.git.lfs_common import (
    LfsCall,
    LfsMessage,
    LfsRef,
    VerifyRequest,
    add_lfs_route,
    check_verified,
    lfs_response,
    read_message,
)
from llmos.protocols.git.lfs_links import LINK_TTL_S, LinkMaker
from llmos.protocols.xet.tokens import XetConnection, connect_writer

MAX_OBJECTS = 1000
MAX_SIZE_BYTES = 2**62
_HASHES = frozenset({"sha256", "sha_256"})


class BatchRequest(LfsMessage):
    operation: Literal["upload", "download"]
    objects: list[Any]
    transfers: list[Any] = Field(default_factory=lambda: ["basic"])
    hash_algo: str = "sha256"
    ref: LfsRef | None = None


@dataclass(frozen=True, slots=True)
class WantedObject:
    oid: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class UploadBatch:
    """A permitted upload request: `held` maps what the repository has already to its size, `xet`
    is set for clients that send chunks instead."""

    links: LinkMaker
    transfer: str
    wanted: list[WantedObject | dict[str, Any]]
    held: dict[str, int]
    xet: XetConnection | None


async def _batch(call: LfsCall) -> Response:
    await call.check_visible()
    asked = await read_message(call.request, BatchRequest)
    if asked.hash_algo not in _HASHES:
        raise Conflict("hash_algo must be 'sha256'.")
    if len(asked.objects) > MAX_OBJECTS:
        raise TooLarge(f"objects: at most {MAX_OBJECTS} in one request, not {len(asked.objects)}.")
    host = base_url(call.request, call.rt.settings)

    def work() -> dict[str, Any]:
        with call.rt.database.reading() as db:
            repo = call.repo(db)
            links = LinkMaker(call.rt, host, repo)
            if asked.operation == "download":
                return _download_answer(db, call.actor, asked, links)
            batch = _open_upload(db, call.actor, asked, links)
        # Outside the session: multipart uploads are recorded in transactions of their own.
        objects = [_upload_object(batch, item) for item in batch.wanted]
        return {"transfer": batch.transfer, "objects": objects, "hash_algo": "sha256"}

    return lfs_response(await run_in_threadpool(work))


def _parse_objects(asked: BatchRequest) -> list[WantedObject | dict[str, Any]]:
    return [_parse_object(item) for item in asked.objects]


def _parse_object(item: Any) -> WantedObject | dict[str, Any]:
    """The object, or the answer that says what is wrong with it."""
    oid = item.get("oid") if isinstance(item, dict) else None
    size = item.get("size") if isinstance(item, dict) else None
    is_size = isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= MAX_SIZE_BYTES
    shown = {"oid": oid if isinstance(oid, str) else "", "size": size if is_size else 0}
    if not is_oid(oid):
        return shown | _error(422, "oid must be 64 lower-case hex digits of a SHA-256.")
    if not is_size:
        return shown | _error(422, "size must be a whole number of bytes, 0 or more.")
    return WantedObject(str(oid), int(size))  # type: ignore[arg-type]  # is_size says it is one


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def _download_answer(db: Session, actor: Actor, asked: BatchRequest, links: LinkMaker) -> dict[str, Any]:
    rt, repo = links.rt, links.repo
    check_content(db, actor, repo)
    wanted = _parse_objects(asked)
    oids = [item.oid for item in wanted if isinstance(item, WantedObject)]
    claims = get_claims(db, repo.id, oids)
    stored = get_lfs_objects(db, claims)
    answers = []
    for item in wanted:
        if isinstance(item, dict):
            answers.append(item)
            continue
        claim = claims.get(item.oid)
        shown = {"oid": item.oid, "size": item.size_bytes}
        if claim is None or (item.oid not in stored and claim.xet_hash is None):
            answers.append(shown | _error(404, "The object does not exist in this repository."))
        elif claim.size_bytes != item.size_bytes:
            answers.append(shown | _error(422, f"size: the object is {claim.size_bytes} bytes long."))
        else:
            is_plain = item.oid in stored and proves_object(db, claim)
            direct = presigned_link(rt, item.oid, ttl_s=LINK_TTL_S) if is_plain else None
            action = _action(direct or links.download(item.oid))
            answers.append(shown | {"authenticated": True, "actions": {"download": action}})
    return {"transfer": "basic", "objects": answers, "hash_algo": "sha256"}


def _action(href: str, header: dict[str, str] | None = None) -> dict[str, Any]:
    return {"href": href, "header": header or {}, "expires_in": LINK_TTL_S}


def _open_upload(db: Session, actor: Actor, asked: BatchRequest, links: LinkMaker) -> UploadBatch:
    """Check the right to upload and the quota for what is new."""
    settings, repo = links.rt.settings, links.repo
    check_upload(db, actor, repo)
    wanted = _parse_objects(asked)
    sizes = {item.oid: item.size_bytes for item in wanted if isinstance(item, WantedObject)}
    claims = get_claims(db, repo.id, sizes)
    held = {oid: found.size_bytes for oid, found in claims.items()}
    check_room(db, settings, repo.namespace, sum(size for oid, size in sizes.items() if oid not in held))
    is_large = any(size > settings.lfs_multipart_above_bytes for size in sizes.values())
    transfer = "multipart" if is_large and "multipart" in asked.transfers else "basic"
    # Offered by Hub clients before 1.20, the JavaScript client and git-xet.
    xet = connect_writer(db, links.rt, actor, repo, links.host) if "xet" in asked.transfers else None
    return UploadBatch(links, "xet" if xet else transfer, wanted, held, xet)


def _upload_object(batch: UploadBatch, item: WantedObject | dict[str, Any]) -> dict[str, Any]:
    if isinstance(item, dict):
        return item
    shown: dict[str, Any] = {"oid": item.oid, "size": item.size_bytes}
    held_bytes = batch.held.get(item.oid)
    if held_bytes == item.size_bytes:
        # Without actions: this repository has the object, nothing is to be sent.
        return shown
    if held_bytes is not None:
        return shown | _error(422, f"size: the object is {held_bytes} bytes long.")
    limit_bytes = batch.links.rt.settings.lfs_file_limit_bytes
    if item.size_bytes > limit_bytes:
        return shown | _error(422, f"size: a file may have at most {limit_bytes} bytes here.")
    if batch.xet is not None:
        return shown | {"authenticated": True, "actions": {"upload": _xet_action(batch.links, batch.xet)}}
    if batch.transfer == "multipart":
        upload = _multipart_action(batch.links, item)
    else:
        upload = _action(batch.links.upload(item.oid, item.size_bytes))
    verify = _action(batch.links.verify(item.oid, item.size_bytes))
    return shown | {"authenticated": True, "actions": {"upload": upload, "verify": verify}}


def _xet_action(links: LinkMaker, xet: XetConnection) -> dict[str, Any]:
    """Where to send chunks; `href` gives a new token (Xet protocol, LFS transfer `xet`)."""
    repo = links.repo
    href = f"{links.host}/api/{repo.repo_type.plural}/{repo.repo_name}/xet-write-token/main"
    return {"href": href, "header": xet.to_headers() | {"X-Xet-Session-Id": str(uuid4())}}


def _multipart_action(links: LinkMaker, item: WantedObject) -> dict[str, Any]:
    with links.rt.database.writing() as db:
        part_bytes = links.rt.settings.lfs_part_bytes
        upload = start_upload(db, item.oid, item.size_bytes, part_bytes, links.repo.id)
    plan = PartPlan(upload.size_bytes, upload.part_bytes)
    header = {"chunk_size": str(plan.part_bytes)}
    for number in range(1, plan.count + 1):
        header[str(number)] = links.part(upload.upload_key, number)
    return _action(links.complete(upload.upload_key, item.oid, item.size_bytes), header)


async def _verify(call: LfsCall) -> Response:
    await call.check_visible()
    asked = await read_message(call.request, VerifyRequest)
    if not is_oid(asked.oid):
        raise Unprocessable("oid must be 64 lower-case hex digits of a SHA-256.")

    def work() -> int | None:
        with call.rt.database.reading() as db:
            repo = call.repo(db)
            check_upload(db, call.actor, repo)
            found = get_claims(db, repo.id, [asked.oid]).get(asked.oid)
            return found.size_bytes if found else None

    return check_verified(asked, await run_in_threadpool(work))


router = Router(tags=["lfs"])
add_lfs_route(router, "POST", "/objects/batch", _batch)
add_lfs_route(router, "POST", "/objects/verify", _verify)
