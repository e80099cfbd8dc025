"""What a token's repository or bucket reaches, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from llmos.core.errors import NotFound
from llmos.features.buckets import queries as buckets
from llmos.features.buckets.service import bring_files
from llmos.features.repos import xet_claims as repos
from llmos.features.repos.xet_revisions import check_in_revision
from llmos.features.storage.xet.shards import RegisteredFile
from llmos.infra.runtime import Runtime
from llmos.protocols.xet.tokens import XetAccess


def check_reachable(db: Session, rt: Runtime, access: XetAccess, file_hash: str) -> None:
    """NotFound unless the token opens this file: one of its bucket; for reading, one of its
    revision; for writing, any that its repository has been brought."""
    if access.bucket_id is not None:
        buckets.check_reachable(db, access.bucket_id, file_hash)
    elif access.repo_id is not None and access.revision is not None and access.scope_id is None:
        check_in_revision(db, rt, access.repo_id, access.revision, file_hash)
    elif access.repo_id is not None:
        repos.check_reachable(db, access.repo_id, file_hash)
    else:
        raise NotFound(f"There is no file {file_hash} here.")


def give_files(
    rt: Runtime, access: XetAccess, files: Sequence[RegisteredFile], advance: Callable[[int], None]
) -> None:
    """Let the repository or bucket of the token use files just registered; raises as its feature does."""
    if access.bucket_id is not None:
        bring_files(rt, access.bucket_id, files)
    elif access.repo_id is not None:
        repos.claim_files(rt, access.repo_id, files, advance)
