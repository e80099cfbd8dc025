"""Which revisions hold which large file, kept aside until a ref moves.

The answer for one state of the refs never changes, so it lies in `$LLMOS_HOME/cache/places`; any file
there may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from dataclasses import asdict
from pathlib import Path

import orjson

from llmos.features.repos.models import Repo
from llmos.features.repos.places import open_git
from llmos.infra.git.lfs_history import LfsHistory, ObjectTrace, trace_objects
from llmos.infra.git.revisions import list_refs
from llmos.infra.runtime import Runtime

BUDGET_S = 3.0


def read_places(rt: Runtime, repo: Repo, *, budget_s: float = BUDGET_S) -> LfsHistory:
    """The large files of all revisions; costs one walk over the history after each change of a ref.

    With more history than fits into `budget_s` seconds the result says so, and is kept all the same.
    """
    git_repo = open_git(rt, repo)
    refs = list_refs(git_repo)
    tips = sorted((ref.ref, ref.target) for ref in [*refs.branches, *refs.tags, *refs.pulls, *refs.converts])
    state = hashlib.sha256(orjson.dumps(tips)).hexdigest()
    path = rt.settings.home / "cache" / "places" / repo.object_id[-2:] / f"{repo.object_id}.json"
    known = _load(path, state)
    if known is None:
        known = trace_objects(git_repo, budget_s=budget_s)
        _keep(path, state, known)
    return known


def _load(path: Path, state: str) -> LfsHistory | None:
    try:
        data = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    if data["state"] != state:
        return None
    objects = {
        oid: ObjectTrace(item["path"], tuple(item["refs"]), item["commit_count"])
        for oid, item in data["objects"].items()
    }
    return LfsHistory(objects, data["commit_count"], data["is_complete"])


def _keep(path: Path, state: str, history: LfsHistory) -> None:
    """Only a cache: what cannot be written is found out again."""
    aside = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(orjson.dumps(asdict(history) | {"state": state}))
        aside.replace(path)
