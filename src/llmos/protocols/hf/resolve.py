"""Hub protocol: file content at `/{namespace}/{name}/resolve/{rev}/{path}`, and `raw` beside it.

Answers directly, never by a redirect: the client reads the metadata headers off the first answer.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from llmos.core.errors import LlmosError, RangeNotSatisfiable
from llmos.core.names import name_key
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import ANONYMOUS, Actor
from llmos.features.auth.edge import resolve_actor
from llmos.features.repos.content import FileFacts, access_file, public_repo_query
from llmos.features.repos.downloads import count_download
from llmos.features.repos.files import open_large_file
from llmos.features.repos.models import Repo
from llmos.features.repos.places import git_folder
from llmos.features.repos.policy import repo_not_found
from llmos.infra.db.quick import QuickQuery
from llmos.infra.git.caches import LruCache
from llmos.infra.git.loose import read_plain_branch
from llmos.infra.git.repository import open_repo
from llmos.infra.git.trees import read_blob
from llmos.infra.runtime import Runtime
from llmos.infra.web.files import Content, ContentResponse, content_disposition
from llmos.infra.web.media import OCTETS, USER_FILE_HEADERS, safe_media_type
from llmos.infra.web.urls import base_url

_PATH = re.compile(
    r"/(?:(datasets|spaces|kernels)/)?([^/]+)(?:/([^/]+))?/(resolve|raw)/"
    r"(refs(?:/|%2[Ff])(?:pr|convert|heads|tags)(?:/|%2[Ff])[^/]+|[^/]+)/(.+)\Z",
    re.DOTALL,
)
_SHA = re.compile(r"[0-9a-f]{40}\Z")
_TYPES = {None: RepoType.MODEL} | {kind.plural: kind for kind in RepoType}
_CACHED_ANSWERS = 50_000

_Headers = list[tuple[bytes, bytes]]


class ResolveRoute(BaseRoute):
    """Matches file addresses by one pattern; GET and HEAD."""

    def __init__(self) -> None:
        self._quick: QuickQuery | None = None
        # (object id, commit, raw path) -> the headers of a HEAD answer; both facts are immutable.
        self._heads: LruCache[tuple[str, str, str], _Headers] = LruCache(_CACHED_ANSWERS)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http":
            path = scope["path"]
            if "/resolve/" in path or "/raw/" in path:
                found = _PATH.match(path)
                if found is not None and not path.startswith("/api/"):
                    return Match.FULL, {"endpoint": self, "file_address": found.groups()}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            quick = self._quick_headers(scope)
            if quick is not None:
                # A copy: middleware adds to the list.
                await send({"type": "http.response.start", "status": 200, "headers": [*quick]})
                await send({"type": "http.response.body", "body": b""})
                return
        elif scope["method"] != "GET":
            raise LlmosError(
                f"This address does not take {scope['method']}.", status=405, code="MethodNotAllowed"
            )
        request = Request(scope, receive)
        await self._answer(request, scope, receive, send)

    def _quick_headers(self, scope: Scope) -> _Headers | None:
        """The headers of a HEAD by anybody for a public file seen before, else None."""
        for key, _ in scope["headers"]:
            if key in (b"authorization", b"cookie", b"if-none-match", b"range"):
                return None
        if scope["query_string"]:
            return None
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
        commit = rev if _SHA.match(rev) else read_plain_branch(git_folder(rt, object_id), rev)
        return self._heads.get((object_id, commit, path)) if commit else None

    async def _answer(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        plural, namespace, name, verb, rev, raw_path = scope["file_address"]
        rt: Runtime = scope["app"].state.runtime
        repo_type = _TYPES[plural]
        anonymous = "authorization" not in request.headers and "cookie" not in request.headers
        actor = ANONYMOUS if anonymous else await resolve_actor(rt, request)
        if name is None:
            # Names of one segment exist on the public Hub only.
            raise repo_not_found(actor, repo_type, unquote(namespace))
        address = (repo_type, unquote(namespace), unquote(name), unquote(rev), unquote(raw_path))
        facts, content = await run_in_threadpool(
            _open, rt, actor, address, is_raw=verb == "raw", is_head=request.method == "HEAD"
        )
        headers = _file_headers(request, rt, facts, content, is_raw=verb == "raw")
        try:
            response = ContentResponse(
                request, content, headers=headers, media_type=_media_type(facts, is_raw=verb == "raw")
            )
        except RangeNotSatisfiable as error:
            error.data["commit_oid"] = facts.commit_oid
            raise
        if request.method == "HEAD" and response.status_code == 200 and verb == "resolve":
            if not request.url.query and not _is_host_bound(facts):
                self._heads.put((facts.object_id, facts.commit_oid, raw_path), list(response.raw_headers))
        elif request.method == "GET" and _is_download_start(request):
            count_download(rt, facts.repo_id)
        await response(scope, receive, send)


def _is_download_start(request: Request) -> bool:
    """A whole file or its beginning; the later ranges of one download are not counted again."""
    return request.headers.get("range", "bytes=0-").replace(" ", "").startswith("bytes=0-")


def _is_host_bound(facts: FileFacts) -> bool:
    """Whether the headers hold links, which repeat the host the client used."""
    return facts.xet_hash is not None


def _open(
    rt: Runtime,
    actor: Actor,
    address: tuple[RepoType, str, str, str, str],
    *,
    is_raw: bool,
    is_head: bool,
) -> tuple[FileFacts, Content]:
    with rt.database.reading() as db:
        facts = access_file(db, rt, actor, *address)
        if facts.lfs is not None and not is_raw:
            repo = db.get(Repo, facts.repo_id)
            assert repo is not None
            return facts, open_large_file(db, rt, repo, facts.lfs.oid).content(rt)
    if is_head:
        return facts, Content(facts.blob_size_bytes, facts.blob_oid)
    data = read_blob(open_repo(git_folder(rt, facts.object_id)), facts.blob_oid)
    return facts, Content(len(data), facts.blob_oid, None, lambda start, end: iter((data[start:end],)))


def _media_type(facts: FileFacts, *, is_raw: bool) -> str:
    if is_raw:
        return "text/plain; charset=utf-8" if facts.is_text or facts.lfs else OCTETS
    return safe_media_type(facts.path, is_text=facts.is_text)


def _file_headers(
    request: Request, rt: Runtime, facts: FileFacts, content: Content, *, is_raw: bool
) -> dict[str, str]:
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


def _xet_headers(request: Request, rt: Runtime, facts: FileFacts) -> dict[str, str]:
    """Where to fetch the chunks of a file that has them (Xet protocol, download)."""
    repo_api = f"{base_url(request, rt.settings)}/api/{facts.repo_type.plural}/{facts.repo_name}"
    token_url = f"{repo_api}/xet-read-token/{facts.commit_oid}"
    return {"X-Xet-Hash": facts.xet_hash or "", "Link": f'<{token_url}>; rel="xet-auth"'}
