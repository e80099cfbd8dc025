"""Hub protocol: file content at `/{namespace}/{name}/resolve/{rev}/{path}`, and `raw` beside it.

Answers directly: the client reads the metadata headers off the first answer. Only where the object
store gives links, a GET of a large file is sent there.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

import orjson
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from llmos.core.errors import LlmosError, RangeNotSatisfiable
from llmos.core.names import name_key
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import ANONYMOUS, Actor
from llmos.features.auth.edge import resolve_actor
from llmos.features.repos.content import FileFacts, access_file, public_repo_query
from llmos.features.repos.downloads import count_download
from llmos.features.repos.files import open_claimed
from llmos.features.repos.places import git_folder
from llmos.features.repos.policy import repo_not_found
from llmos.features.storage.objects import presigned_link
from llmos.features.storage.xet.quarantine import damage_mark
from llmos.features.storage.xet.tables import check_undamaged
from llmos.infra.db.quick import QuickQuery
from llmos.infra.git.caches import LruCache
from llmos.infra.git.loose import read_plain_branch
from llmos.infra.git.repository import open_repo
from llmos.infra.git.trees import read_blob
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.files import Content, ContentResponse, content_disposition
from llmos.infra.web.media import OCTETS, USER_FILE_HEADERS, safe_media_type
from llmos.infra.web.urls import base_url
from llmos.protocols.xet.tokens import cas_address

_PATH = re.compile(
    r"/(?!buckets/)(?:(datasets|spaces|kernels)/)?([^/]+)(?:/([^/]+))?/(resolve|raw)/"
    r"(refs(?:/|%2[Ff])(?:pr|convert|heads|tags)(?:/|%2[Ff])[^/]+|[^/]+)/(.+)\Z",
    re.DOTALL,
)
_SHA = re.compile(r"[0-9a-f]{40}\Z")
_TYPES = {None: RepoType.MODEL} | {kind.plural: kind for kind in RepoType}
_CACHED_ANSWERS = 50_000
# How long HEAD of a large file may speak as before its bytes were found damaged on another machine.
LARGE_HEAD_S = 30.0

INLINE_BYTES = 64 * 1024
XET_INFO = "application/vnd.xet-fileinfo+json"

_Headers = list[tuple[bytes, bytes]]
_Remembered = tuple[_Headers, float, int]
_Key = tuple[str, str, str]  # object id, commit, raw path
_Opener = Callable[[Runtime, FileFacts, Request], Awaitable[Content]]


class FilesFirst:
    """Middleware that answers file addresses (GET and HEAD) itself and passes on all others.

    They are what clients ask for most; a router in front of them would cost as much as the
    answer. A refusal is raised for the layer above to render.
    """

    def __init__(self, app: ASGIApp, api: FastAPI) -> None:
        self.app = app
        self.api = api
        self._quick: QuickQuery | None = None
        # What a commit holds never changes. Headers may hold links, so the address counts, too.
        self._heads: LruCache[tuple[_Key, str, bytes], _Remembered] = LruCache(_CACHED_ANSWERS)
        self._facts: LruCache[_Key, FileFacts] = LruCache(_CACHED_ANSWERS)
        self._folders: LruCache[str, str] = LruCache(_CACHED_ANSWERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if "/resolve/" in path or "/raw/" in path:
                found = _PATH.match(path)
                if found is not None and not path.startswith("/api/"):
                    scope["app"], scope["file_address"] = self.api, found.groups()
                    await self.handle(scope, receive, send)
                    return
        await self.app(scope, receive, send)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise LlmosError(
                lazy("This address does not take %(method)s.", method=scope["method"]),
                status=405,
                code="MethodNotAllowed",
            )
        actor = ANONYMOUS
        if any(name in (b"authorization", b"cookie") for name, _ in scope["headers"]):
            # Also where everybody may read: a wrong token is refused, never ignored.
            actor = await resolve_actor(scope["app"].state.runtime, Request(scope))
        key = self._quick_key(scope)
        if key is not None and scope["method"] == "HEAD" and _is_plain(scope):
            known = self._heads.get((key, scope["path"], _origin(scope)))
            if known is not None and self._still_holds(scope, *known[1:]):
                # A copy: middleware adds to the list.
                await send({"type": "http.response.start", "status": 200, "headers": [*known[0]]})
                await send({"type": "http.response.body", "body": b""})
                return
        facts = self._facts.get(key) if key is not None else None
        request = Request(scope, receive)
        if facts is not None and facts.lfs is None:
            await self._send(request, facts, _regular_content, scope, receive, send)
        else:
            await self._answer(request, actor, scope, receive, send)

    def _still_holds(self, scope: Scope, until_s: float, mark: int) -> bool:
        """Of a regular file for ever; of a large one until damage was found, here or elsewhere."""
        if until_s == math.inf:
            return True
        return time.monotonic() < until_s and mark == damage_mark(scope["app"].state.runtime)

    def _quick_key(self, scope: Scope) -> _Key | None:
        """Under which key the answer about a public file is remembered, else None."""
        plural, namespace, name, verb, rev, path = scope["file_address"]
        if verb != "resolve" or name is None or "%" in name or "%" in namespace:
            return None
        rt: Runtime = scope["app"].state.runtime
        if self._quick is None:
            self._quick = QuickQuery(rt.database, public_repo_query())
        if not self._quick.is_available:
            return None
        row = self._quick.first(
            repo_type=_TYPES[plural].value, namespace_key=name_key(namespace), repo_key=name_key(name)
        )
        if row is None:
            return None
        object_id: str = row[1]
        folder = self._folders.get(object_id)
        if folder is None:
            folder = str(git_folder(rt, object_id))
            self._folders.put(object_id, folder)
        commit = rev if _SHA.match(rev) else read_plain_branch(folder, rev)
        return (object_id, commit, path) if commit else None

    async def _answer(
        self, request: Request, actor: Actor, scope: Scope, receive: Receive, send: Send
    ) -> None:
        plural, namespace, name, verb, rev, raw_path = scope["file_address"]
        rt: Runtime = scope["app"].state.runtime
        repo_type = _TYPES[plural]
        if name is None:
            # Names of one segment exist on the public Hub only.
            raise repo_not_found(actor, repo_type, unquote(namespace))
        address = (repo_type, unquote(namespace), unquote(name), unquote(rev), unquote(raw_path))
        facts = await run_in_threadpool(_find, rt, actor, address)
        if verb == "resolve":
            self._facts.put((facts.object_id, facts.commit_oid, raw_path), facts)
        is_large = facts.lfs is not None and verb == "resolve"
        if facts.xet_hash is not None and verb == "resolve" and _wants_xet_info(request):
            await _xet_info(request, rt, facts)(scope, receive, send)
            return
        if is_large and _may_redirect(request, rt):
            link = await run_in_threadpool(_direct_link, rt, facts)
            if link is not None:
                if _is_download_start(request):
                    count_download(rt, facts.repo_id)
                headers = _file_headers(request, rt, facts, is_raw=False) | {"Cache-Control": "no-store"}
                await RedirectResponse(link, 302, headers)(scope, receive, send)
                return
        await self._send(
            request, facts, _large_content if is_large else _regular_content, scope, receive, send
        )

    async def _send(
        self,
        request: Request,
        facts: FileFacts,
        opener: _Opener,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        rt: Runtime = scope["app"].state.runtime
        verb, raw_path = scope["file_address"][3], scope["file_address"][5]
        is_large_head = facts.lfs is not None and request.method == "HEAD"
        mark = damage_mark(rt) if is_large_head else 0  # before the look at what is stored
        content = await opener(rt, facts, request)
        headers = _file_headers(request, rt, facts, is_raw=verb == "raw")
        media_type = _media_type(facts, is_raw=verb == "raw")
        try:
            response = ContentResponse(request, content, headers=headers, media_type=media_type)
        except RangeNotSatisfiable as error:
            error.data["commit_oid"] = facts.commit_oid
            raise
        if request.method == "HEAD":
            if verb == "resolve" and _is_plain(scope):
                key = (facts.object_id, facts.commit_oid, raw_path)
                lasts_s = math.inf if facts.lfs is None else LARGE_HEAD_S
                kept = (list(response.raw_headers), time.monotonic() + lasts_s, mark)
                self._heads.put((key, scope["path"], _origin(scope)), kept)
        elif _is_download_start(request) and response.status_code in (200, 206):
            count_download(rt, facts.repo_id)
        await response(scope, receive, send)


def _origin(scope: Scope) -> bytes:
    """Scheme and host of the request, which links in the answer repeat."""
    for name, value in scope["headers"]:
        if name == b"host":
            origin: bytes = scope["scheme"].encode() + value
            return origin
    return b""


def _is_plain(scope: Scope) -> bool:
    """Whether nothing but the address decides the answer."""
    if scope["query_string"]:
        return False
    return all(key not in (b"if-none-match", b"if-range", b"range") for key, _ in scope["headers"])


def _is_download_start(request: Request) -> bool:
    """A whole file or its beginning; the later ranges of one download are not counted again."""
    return request.headers.get("range", "bytes=0-").replace(" ", "").startswith("bytes=0-")


def _find(rt: Runtime, actor: Actor, address: tuple[RepoType, str, str, str, str]) -> FileFacts:
    with rt.database.reading() as db:
        return access_file(db, rt, actor, *address)


async def _regular_content(rt: Runtime, facts: FileFacts, request: Request) -> Content:
    """The blob itself: a regular file, or the pointer of a large one."""
    if request.method == "HEAD":
        return Content(facts.blob_size_bytes, facts.blob_oid)

    def read() -> bytes:
        return read_blob(open_repo(git_folder(rt, facts.object_id)), facts.blob_oid)

    data = read() if facts.blob_size_bytes <= INLINE_BYTES else await run_in_threadpool(read)
    return Content(len(data), facts.blob_oid, data=data)


async def _large_content(rt: Runtime, facts: FileFacts, request: Request) -> Content:
    def find() -> Content:
        assert facts.lfs is not None
        with rt.database.reading() as db:
            found = open_claimed(db, rt, facts.repo_id, facts.lfs.oid)
            if request.method == "HEAD" and found.local_path is None and found.key is None:
                assert found.xet_hash is not None
                check_undamaged(db, found.xet_hash)  # a reader would meet the damage
            return found.content(rt)

    return await run_in_threadpool(find)


def _may_redirect(request: Request, rt: Runtime) -> bool:
    """Programs follow to the object store; a browser would lose the file's name on the way.

    HEAD is always answered here, as clients read a file's hash and size off the first answer.
    """
    is_program = not request.headers.get("accept", "").startswith("text/html")
    wants_name = "download" in request.query_params
    return rt.settings.storage_presign and request.method == "GET" and is_program and not wants_name


def _direct_link(rt: Runtime, facts: FileFacts) -> str | None:
    assert facts.lfs is not None
    with rt.database.reading() as db:
        found = open_claimed(db, rt, facts.repo_id, facts.lfs.oid)
    return presigned_link(rt, found.oid) if found.key is not None else None


def _media_type(facts: FileFacts, *, is_raw: bool) -> str:
    if is_raw:
        return "text/plain; charset=utf-8" if facts.is_text or facts.lfs else OCTETS
    return safe_media_type(facts.path, is_text=facts.is_text)


def _file_headers(request: Request, rt: Runtime, facts: FileFacts, *, is_raw: bool) -> dict[str, str]:
    wants_file = request.query_params.get("download", "").lower() in ("true", "1")
    kind = "attachment" if wants_file else "inline"
    headers = {
        "X-Repo-Commit": facts.commit_oid,
        "Content-Disposition": content_disposition(kind, facts.path.rpartition("/")[2]),
        **USER_FILE_HEADERS,
    }
    if facts.lfs is not None and not is_raw:
        headers["X-Linked-ETag"] = f'"{facts.etag}"'
        headers["X-Linked-Size"] = str(facts.size_bytes)
        if facts.xet_hash is not None:
            headers |= _xet_headers(request, rt, facts)
    return headers


def _wants_xet_info(request: Request) -> bool:
    """Scripts in browsers say so; the hash of a file instead of its bytes, in one request."""
    return request.method == "GET" and request.headers.get("accept", "").startswith(XET_INFO)


def _xet_info(request: Request, rt: Runtime, facts: FileFacts) -> Response:
    headers = _file_headers(request, rt, facts, is_raw=False) | {"ETag": f'"{facts.etag}"'}
    host = base_url(request, rt.settings)
    body = {
        "hash": facts.xet_hash,
        "size": facts.size_bytes,
        "etag": f'"{facts.etag}"',
        "refreshUrl": _xet_token_url(host, facts),
        "reconstructionUrl": _reconstruction_url(rt, host, facts),
        "casUrl": cas_address(rt, host),
    }
    # The same address gives the bytes to whoever asks otherwise.
    headers |= {"Vary": "Accept", "Cache-Control": "no-store"}
    return Response(orjson.dumps(body), 200, headers, media_type=XET_INFO)


def _xet_headers(request: Request, rt: Runtime, facts: FileFacts) -> dict[str, str]:
    """Where to fetch the chunks of a file that has them (Xet protocol, download)."""
    host = base_url(request, rt.settings)
    links = f'<{_xet_token_url(host, facts)}>; rel="xet-auth", '
    links += f'<{_reconstruction_url(rt, host, facts)}>; rel="xet-reconstruction-info"'
    return {"X-Xet-Hash": facts.xet_hash or "", "Link": links}


def _xet_token_url(host: str, facts: FileFacts) -> str:
    return f"{host}/api/{facts.repo_type.plural}/{facts.repo_name}/xet-read-token/{facts.commit_oid}"


def _reconstruction_url(rt: Runtime, host: str, facts: FileFacts) -> str:
    # Scripts make version 2 of it themselves.
    return f"{cas_address(rt, host)}/v1/reconstructions/{facts.xet_hash}"
