"""Faces of a refusal: page or htmx fragment, plain JSON, Hub, OpenAI, git. One renderer for all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from llmos.core.errors import LlmosError, TooManyRequests
from llmos.features.auth.credentials import INVALID_CREDENTIALS
from llmos.features.repos.policy import RepoMoved
from llmos.protocols.inference import errors as inference_errors
from llmos.protocols.openai import errors as openai_errors
from llmos.protocols.openai.addresses import inference_face

# Only these codes have a meaning to the Hub client; any other would hide the message.
_HUB_CODES = frozenset({"RepoNotFound", "RevisionNotFound", "EntryNotFound", "GatedRepo"})
_GIT_PATH = re.compile(r"/(info/refs|git-upload-pack|git-receive-pack)$")
_LFS_PATH = re.compile(r"/info/lfs(/|$)|^/-/lfs/")
_FILE_PATH = re.compile(r"^/(datasets/|spaces/|kernels/|buckets/)?[^/]+(/[^/]+)?/(resolve|raw)/")


def face_of(request: Request) -> str:
    """`git`, `lfs`, `openai`, `inference`, `hub` or `page`, by the path and by what the client accepts."""
    path = request.scope["path"]
    if model_face := inference_face(path):
        return model_face
    if _GIT_PATH.search(path):
        return "git"
    if _LFS_PATH.search(path):
        return "lfs"
    return "page" if _is_for_people(path, request.headers.get("accept", "")) else "hub"


def _is_for_people(path: str, accepts: str) -> bool:
    if path == "/oauth/authorize":
        return True  # the one address of OAuth that people see
    if path.startswith(("/api/", "/oauth/", "/v1/", "/v2/", "/cas/", "/.well-known/")):
        return False
    return accepts.startswith("text/html") if _FILE_PATH.match(path) else "text/html" in accepts


def header_text(text: str) -> str:
    """A message fit for a header: one line of printable ASCII, as clients disagree about anything else."""
    line = "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
    return line.encode("ascii", "replace").decode()[:1000]


def hub_headers(error: LlmosError) -> dict[str, str]:
    headers = {"X-Error-Message": header_text(error.message)}
    if error.code in _HUB_CODES:
        headers["X-Error-Code"] = error.code
    headers.update(extra_headers(error))
    return headers


def extra_headers(error: LlmosError) -> dict[str, str]:
    """Headers every face needs: retry times, real sizes, the commit of a missing entry."""
    out: dict[str, str] = {}
    if isinstance(error, TooManyRequests):
        out["Retry-After"] = str(error.data.get("retry_after_s", 60))
    if "size_bytes" in error.data and error.status == 416:
        out["Content-Range"] = f"bytes */{error.data['size_bytes']}"
    if "commit_oid" in error.data:
        out["X-Repo-Commit"] = error.data["commit_oid"]
    return out


def render_error(request: Request, error: LlmosError) -> Response:
    """The response for a refusal, in the face the client reads."""
    if isinstance(error, RepoMoved):
        return _moved(request, error)
    return _FACES[face_of(request)](request, error)


def _page(request: Request, error: LlmosError) -> Response:
    from llmos.app.error_pages import render_error_page

    return render_error_page(request, error)


def _lfs(request: Request, error: LlmosError) -> Response:
    # git-lfs reads `message`, the Hub client `error`.
    request_id = request.scope.get("request_id", "")
    body = {"message": error.message, "error": error.message, "request_id": request_id}
    return Response(
        orjson.dumps(body),
        error.status,
        _challenge(error) | hub_headers(error),
        media_type="application/vnd.git-lfs+json",
    )


def _json(request: Request, error: LlmosError) -> Response:
    headers = hub_headers(error)
    if "text/plain" in request.headers.get("accept", "") and "errors" in error.data:
        lines = "\n".join(f"- Error: {item['message']}" for item in error.data["errors"])
        return Response(lines, error.status, headers, media_type="text/plain")
    body: Mapping[str, object] = {"error": error.message, **_public_data(error)}
    return Response(orjson.dumps(body), error.status, headers, media_type="application/json")


def _public_data(error: LlmosError) -> dict[str, object]:
    return {key: value for key, value in error.data.items() if key not in {"size_bytes"}}


def _challenge(error: LlmosError) -> dict[str, str]:
    return {"WWW-Authenticate": 'Basic realm="LLMOS", charset="UTF-8"'} if error.status == 401 else {}


def _git(_request: Request, error: LlmosError) -> Response:
    status, message = error.status, error.message
    if message == INVALID_CREDENTIALS:
        message = "The access token is not valid: make a new one under Settings, Access tokens."
    return Response(message + "\n", status, _challenge(error) | extra_headers(error), media_type="text/plain")


def _openai(_request: Request, error: LlmosError) -> Response:
    return openai_errors.render(error)


def _inference(_request: Request, error: LlmosError) -> Response:
    return inference_errors.render(error, hub_headers(error))


_FACES: dict[str, Callable[[Request, LlmosError], Response]] = {
    "git": _git,
    "hub": _json,
    "inference": _inference,
    "lfs": _lfs,
    "openai": _openai,
    "page": _page,
}


def _moved(request: Request, error: RepoMoved) -> Response:
    """307 to the same address under the new name: keeps the method, the body and the token."""
    path: str = request.scope["path"]
    old = error.data.get("old_path_name") or _old_name(path)
    target = path.replace(old, quote(error.data["repo_name"]), 1) if old else path
    query = request.scope.get("query_string", b"").decode("latin-1")
    return RedirectResponse(target + (f"?{query}" if query else ""), 307)


def _old_name(path: str) -> str | None:
    """The `namespace/name` part of a path; the one place where a redirect must know the routes."""
    match = re.match(
        r"^/(?:api/(?:models|datasets|spaces|kernels)/|(?:datasets|spaces|kernels)/)?([^/]+/[^/]+)", path
    )
    if not match:
        return None
    return re.sub(r"\.git$", "", match.group(1))
