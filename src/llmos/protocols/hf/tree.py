"""Hub protocol: `tree` and `paths-info`, the entries of a revision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pygit2
from fastapi import Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from llmos.core.clock import to_json
from llmos.core.errors import BadRequest, EntryNotFound
from llmos.core.pagination import check_limit
from llmos.features.auth.edge import ActorDep
from llmos.features.repos.claims import get_claims
from llmos.features.repos.files import last_commits, open_git
from llmos.features.repos.models import Repo
from llmos.infra.git.commits import CommitInfo
from llmos.infra.git.revisions import resolve
from llmos.infra.git.trees import TreeEntry, entries_for_paths, get_entry, list_tree
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.hf.links import next_link
from llmos.protocols.hf.target import REPO_API, TargetDep

router = Router(tags=["content"])

PLAIN_PAGE, EXPANDED_PAGE, MAX_PAGE = 1000, 100, 1000
MAX_PATHS = 2000
MAX_FORM_BYTES = 8 * 1024 * 1024


def json_response(value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), 200, headers, media_type="application/json")


@router.get(REPO_API + "/tree/{rev:rev}")
@router.get(REPO_API + "/tree/{rev:rev}/{path:rest}")
def get_tree(
    request: Request,
    rt: RuntimeDep,
    db: ReadDb,
    actor: ActorDep,
    target: TargetDep,
    rev: str,
    path: str = "",
    recursive: bool = False,
    expand: bool = False,
    cursor: str | None = None,
    limit: int | None = None,
) -> Response:
    """A page of a folder. The cursor works on the commit the first page resolved to."""
    repo = target.access(db, actor)
    git_repo = open_git(rt, repo)
    size = check_limit(limit, default=EXPANDED_PAGE if expand else PLAIN_PAGE, maximum=MAX_PAGE)
    commit = resolve(git_repo, rev)
    folder = path.strip("/")
    if folder:
        _check_folder(git_repo, commit, folder)
    page = list_tree(git_repo, commit, folder, recursive=recursive, after=cursor, limit=size)
    headers = {"X-Repo-Commit": commit}
    if page.next_cursor is not None:
        here = request.scope["path"].split("/tree/", 1)[0]
        tail = request.scope["path"].split("/tree/", 1)[1]
        pinned = f"{here}/tree/{commit}{_after_revision(tail)}"
        headers |= next_link(request, rt.settings, {"cursor": page.next_cursor}, path=pinned)
    return json_response(_entries(db, repo, git_repo, commit, page.entries, expand), headers)


def _after_revision(tail: str) -> str:
    """The raw path behind the revision, with its slash; revisions may hold bare slashes (refs/pr/1)."""
    parts = tail.split("/")
    skip = 3 if parts[0] == "refs" else 1
    rest = "/".join(parts[skip:])
    return f"/{rest}" if rest else ""


def _check_folder(git_repo: pygit2.Repository, commit: str, path: str) -> None:
    entry = get_entry(git_repo, commit, path)
    if entry is None:
        raise EntryNotFound(
            lazy("%(path)r does not exist at this revision.", path=path), data={"commit_oid": commit}
        )
    if entry.type != "directory":
        raise EntryNotFound(lazy("%(path)r is a file, not a folder.", path=path), data={"commit_oid": commit})


@router.post(REPO_API + "/paths-info/{rev:rest}")
async def post_paths_info(
    request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep, rev: str
) -> Response:
    """The entries at some paths; what does not exist is left out. Form fields or JSON."""
    repo = await run_in_threadpool(target.access, db, actor)
    paths, expand = await _asked_paths(request)

    def work() -> Response:
        git_repo = open_git(rt, repo)
        commit = resolve(git_repo, rev)
        entries = entries_for_paths(git_repo, commit, paths)
        return json_response(_entries(db, repo, git_repo, commit, entries, expand), {"X-Repo-Commit": commit})

    return await run_in_threadpool(work)


async def _asked_paths(request: Request) -> tuple[list[str], bool]:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise BadRequest(lazy("The list of paths is too long: ask in several calls."))
    if kind == "application/json":
        paths, expand = _json_paths(bytes(body))
    else:
        from urllib.parse import parse_qs

        form = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
        paths = form.get("paths", [])
        expand = form.get("expand", ["false"])[-1].lower() in ("true", "1")
    if len(paths) > MAX_PATHS:
        raise BadRequest(
            lazy(
                "paths has %(count)s entries: at most %(limit)s in one call.",
                count=len(paths),
                limit=MAX_PATHS,
            )
        )
    return [path for path in paths if path.strip("/")], expand


def _json_paths(body: bytes) -> tuple[list[str], bool]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(lazy("The body is not valid JSON.")) from error
    paths = value.get("paths") if isinstance(value, dict) else None
    if isinstance(paths, str):
        paths = [paths]
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise BadRequest(lazy("paths must be a list of file paths."))
    return paths, value.get("expand") is True


def _entries(
    db: Session,
    repo: Repo,
    git_repo: pygit2.Repository,
    commit: str,
    entries: Sequence[TreeEntry],
    expand: bool,
) -> list[dict[str, Any]]:
    oids = [entry.lfs.oid for entry in entries if entry.lfs]
    claims = get_claims(db, repo.id, oids) if oids else {}
    xet = {oid: claim.xet_hash for oid, claim in claims.items() if claim.xet_hash}
    commits = last_commits(git_repo, commit, entries) if expand else {}
    return [tree_json(entry, xet, expand, commits.get(entry.path)) for entry in entries]


def tree_json(
    entry: TreeEntry, xet_hashes: dict[str, str], expand: bool, last: CommitInfo | None
) -> dict[str, Any]:
    """One entry as the Hub shows it; `xetHash` only where chunks can be fetched."""
    is_folder = entry.type in ("directory", "submodule")
    value: dict[str, Any] = {
        "type": "directory" if is_folder else "file",
        "oid": entry.oid,
        "size": entry.content_size,
        "path": entry.path,
    }
    if entry.lfs:
        lfs = entry.lfs
        value["lfs"] = {"oid": lfs.oid, "size": lfs.size, "pointerSize": lfs.pointer_size}
        if lfs.oid in xet_hashes:
            value["xetHash"] = xet_hashes[lfs.oid]
    if expand:
        if last is not None:
            value["lastCommit"] = {"id": last.oid, "title": last.title, "date": to_json(last.committed_at)}
        if not is_folder:
            value["securityFileStatus"] = {"status": "unscanned", "avScan": None, "pickleImportScan": None}
    return value
