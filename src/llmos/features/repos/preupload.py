"""Telling a client, before it uploads, how each file will be stored and what is there already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.features.repos.cards.attributes import is_ignored, is_lfs_path, sniff_binary
from llmos.features.repos.claims import check_room
from llmos.features.repos.commit_targets import CommitTarget
from llmos.features.repos.files import get_file
from llmos.features.repos.models import Repo, RepoLfsClaim
from llmos.features.repos.places import git_path
from llmos.infra.git.repository import open_repo
from llmos.infra.git.trees import TreeEntry, entries_for_paths
from llmos.infra.runtime import Runtime

_ALWAYS_REGULAR = frozenset({".gitattributes", ".gitignore", ".gitmodules", "README.md"})


@dataclass(frozen=True, slots=True)
class UploadQuestion:
    """A file somebody wants to upload: `sample` holds its first bytes."""

    path: str
    size_bytes: int
    sample: bytes


@dataclass(frozen=True, slots=True)
class UploadAdvice:
    """`oid`: what is stored at the path now (SHA-256 of a large file, else the git blob id)."""

    path: str
    mode: Literal["lfs", "regular"]
    is_ignored: bool
    oid: str | None


def advise_uploads(
    rt: Runtime,
    target: CommitTarget,
    questions: Sequence[UploadQuestion],
    *,
    attributes: str | None = None,
    ignores: str | None = None,
) -> list[UploadAdvice]:
    """One answer per question, in order.

    A file is large if `.gitattributes` (the one given, else the revision's) says so, if it is
    larger than a regular file may be, or if its sample looks binary; empty files never are.
    """
    git_repo = open_repo(git_path(rt, target))
    head = target.head
    if attributes is None:
        attributes = (get_file(git_repo, head, ".gitattributes") or b"").decode("utf-8", "surrogateescape")
    if ignores is None:
        ignores = (get_file(git_repo, head, ".gitignore") or b"").decode("utf-8", "surrogateescape")
    entries: dict[str, TreeEntry] = {}
    if head is not None:
        found = entries_for_paths(git_repo, head, [item.path for item in questions])
        entries = {entry.path: entry for entry in found}
    limit = rt.settings.regular_file_limit_bytes
    return [
        UploadAdvice(
            path=item.path,
            mode="lfs" if _is_large(item, attributes, limit) else "regular",
            is_ignored=is_ignored(ignores, item.path) if ignores else False,
            oid=_current_oid(entries.get(item.path)),
        )
        for item in questions
    ]


def check_upload_room(
    db: Session, rt: Runtime, repo: Repo, questions: Sequence[UploadQuestion], answers: Sequence[UploadAdvice]
) -> None:
    """QuotaExceeded if the large files surely do not fit, before a byte of them is sent.

    Hashes are not known yet, so a file of the size of one that is already in the namespace counts
    as that one; what arrives is counted again, exactly.
    """
    sizes = [
        question.size_bytes
        for question, answer in zip(questions, answers, strict=True)
        if answer.mode == "lfs" and not answer.is_ignored
    ]
    if not sizes:
        return
    known = select(RepoLfsClaim.size_bytes).join(Repo, Repo.id == RepoLfsClaim.repo_id)
    held = set(db.scalars(known.where(Repo.namespace_id == repo.namespace_id).distinct()))
    check_room(db, rt.settings, repo.namespace, sum(size for size in sizes if size not in held))


def _is_large(item: UploadQuestion, attributes: str, limit_bytes: int) -> bool:
    if item.size_bytes == 0 or item.path in _ALWAYS_REGULAR:
        return False
    if item.size_bytes > limit_bytes:
        return True
    return is_lfs_path(attributes, item.path) or sniff_binary(item.sample)


def _current_oid(entry: TreeEntry | None) -> str | None:
    if entry is None or entry.type != "file":
        return None
    return entry.lfs.oid if entry.lfs else entry.oid
