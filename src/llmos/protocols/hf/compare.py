"""Hub protocol: what changed between two revisions, as a patch or one line a file."""

from __future__ import annotations

from starlette.responses import Response

from llmos.core.errors import BadRequest
from llmos.features.auth.edge import ActorDep
from llmos.features.repos.files import open_git
from llmos.features.repos.policy import check_content
from llmos.infra.git.commits import get_commit
from llmos.infra.git.diff import DiffLimits, FileDiff, diff_commits, raw_diff
from llmos.infra.git.merge import merge_base
from llmos.infra.git.revisions import resolve
from llmos.infra.git.trees import get_entry
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.hf.target import REPO_API, TargetDep

router = Router(tags=["content"])

MAX_FILES = 10_000
_NO_OID = "0" * 40
_LETTERS = {"added": "A", "deleted": "D", "modified": "M", "renamed": "R", "copied": "C", "typechange": "T"}


@router.get(REPO_API + "/compare/{compare:rest}")
def get_compare(
    rt: RuntimeDep, db: ReadDb, actor: ActorDep, target: TargetDep, compare: str, raw: bool = False
) -> Response:
    """`a..b` (from a to b), `a...b` (from where they parted to b) or one commit (from its parent).

    With `raw=true`, per file `T|B <size>\\t:<modes> <old>... <new>... <status>\\t<path>`.
    """
    repo = target.access(db, actor)
    check_content(db, actor, repo)
    git_repo = open_git(rt, repo)
    separator = "..." if "..." in compare else ".."
    left, found, right = compare.partition(separator)
    if not found:
        new = resolve(git_repo, compare)
        old = next(iter(get_commit(git_repo, new).parents), None)
    elif not left or not right:
        raise BadRequest("compare must look like 'main..feature', or be one commit id.")
    else:
        old, new = resolve(git_repo, left), resolve(git_repo, right)
        if separator == "...":
            old = merge_base(git_repo, old, new)
    if not raw:
        patch, is_cut = raw_diff(git_repo, old, new)
        headers = {"X-Truncated": "true"} if is_cut else {}
        return Response(patch, 200, headers, media_type="text/plain; charset=utf-8")
    limits = DiffLimits(max_files=MAX_FILES, max_lines=0)
    lines = []
    for file in diff_commits(git_repo, old, new, limits).files:
        entry = get_entry(git_repo, new, file.new_path) if file.new_oid else None
        lines.append(_raw_line(file, entry.content_size if entry else 0))
    return Response("".join(lines), 200, media_type="text/plain; charset=utf-8")


def _raw_line(file: FileDiff, size_bytes: int) -> str:
    kind = "B" if file.is_binary else "T"
    modes = f"{file.old_mode if file.old_oid else 0:06o} {file.new_mode if file.new_oid else 0:06o}"
    paths = f"{file.old_path}\t{file.new_path}" if file.status in ("renamed", "copied") else file.new_path
    oids = f"{file.old_oid or _NO_OID}... {file.new_oid or _NO_OID}..."
    return f"{kind} {size_bytes}\t:{modes} {oids} {_LETTERS[file.status]}\t{paths}\n"
