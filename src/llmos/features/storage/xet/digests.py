"""The SHA-256 of Xet files. Clients only say what it is; here it is made from the bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from sqlalchemy import update

from llmos.features.storage.xet.models import XetFile
from llmos.features.storage.xet.reading import access_stored_file, read_terms
from llmos.infra.runtime import Runtime


def digest_file(rt: Runtime, file_hash: str, advance: Callable[[int], None] | None = None) -> str:
    """Hash all bytes of a file, remember and return its SHA-256 in hex.

    Slow (about 4 s for 1 GiB of processor time); `advance` is told the bytes of each step.
    Raises NotFound, and XetQuarantined for damaged bytes.
    """
    file = access_stored_file(rt, file_hash)
    digest = hashlib.sha256()
    for piece in read_terms(rt, file.terms, 0, file.size_bytes):
        digest.update(piece)
        if advance:
            advance(len(piece))
    sha256 = digest.hexdigest()
    with rt.database.writing() as db:
        db.execute(update(XetFile).where(XetFile.file_hash == file_hash).values(sha256=sha256))
    return sha256
